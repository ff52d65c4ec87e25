"""ACDC: driving in fog, at night, in rain and in snow."""
import os.path as osp
from collections.abc import Sequence
from typing import Any, Optional

from mmseg_dg.registry import DATASETS

from .base import TrainIdDataset
from .checks import is_local

CONDITIONS = ('fog', 'night', 'rain', 'snow')


@DATASETS.register_module()
class ACDCDataset(TrainIdDataset):
    """Adverse Conditions Dataset (Sakaridis et al., ICCV 2021) with the 19 Cityscapes classes.

    Two layouts are read with the same config.  Flat: ``rgb_anon/train/*_rgb_anon.png`` and
    ``gt/train/*_gt_labelTrainIds.png``.  As published:
    ``rgb_anon/<condition>/train/<sequence>/*_rgb_anon.png`` and
    ``gt/<condition>/train/<sequence>/*_gt_labelTrainIds.png``; taken when the flat folder does not
    exist.

    Args:
        conditions: Some of fog, night, rain, snow (published layout only); None: all that are
            there.
        **kwargs: See :class:`TrainIdDataset`. ``data_prefix`` names the flat folders
            (``dict(img_path='rgb_anon/train', seg_map_path='gt/train')``, the default) in both
            layouts. Lines of ``ann_file`` are stems relative to ``rgb_anon`` in the published
            layout (``fog/train/GOPR0475/GOPR0475_frame_000041``).

    Raises:
        ValueError: An unknown condition, or ``conditions`` for the flat layout, whose names do not
            tell it.
    """
    IMG_SUFFIX = '_rgb_anon.png'
    SEG_MAP_SUFFIX = '_gt_labelTrainIds.png'
    DATA_PREFIX = dict(img_path='rgb_anon/train', seg_map_path='gt/train')

    def __init__(self, conditions: Optional[Sequence[str]] = None, **kwargs: Any) -> None:
        unknown = set(conditions or ()) - set(CONDITIONS)
        if unknown:
            raise ValueError(f'ACDCDataset: unknown conditions {sorted(unknown)}; choose from '
                             f'{CONDITIONS}')
        self.conditions = tuple(conditions) if conditions else None
        super().__init__(**kwargs)

    def _find_stems(self) -> list[str]:
        """Image paths without suffix, relative to ``data_prefix['img_path']``, of either layout.

        ``data_prefix`` names flat folders, ``rgb_anon/train``. Where that one is not there but
        ``rgb_anon/<condition>/train`` is, the layout is the published one: ``data_prefix`` is
        changed to ``rgb_anon`` and ``gt``, and the paths begin with ``<condition>/train/``.

        Raises:
            ValueError: ``conditions`` for a flat folder.
        """
        flat = self.data_prefix['img_path'].rstrip('/')
        root, split = osp.split(flat)
        # only a local folder can be looked at; a remote one is taken as named
        nested = is_local(flat, self.backend_args) and not osp.isdir(flat)
        existing = [c for c in CONDITIONS if nested and osp.isdir(osp.join(root, c, split))]
        if existing:
            self.data_prefix['img_path'] = root
            if 'seg_map_path' in self.data_prefix:
                self.data_prefix['seg_map_path'] = osp.dirname(
                    self.data_prefix['seg_map_path'].rstrip('/'))
            return self._nested_stems(root, split, self.conditions or existing)
        stems = super()._find_stems()
        if self.conditions:
            raise ValueError(f'ACDCDataset: conditions={self.conditions} needs the published '
                             f'folders {root}/<condition>/{split}; {flat!r} mixes the conditions')
        return stems

    def _nested_stems(self, root: str, split: str, conditions: Sequence[str]) -> list[str]:
        """Stems of the chosen conditions, ``<condition>/<split>/<stem>``, from the list (in its
        order) or from the folders below ``root`` (sorted).
        """
        if self.ann_file:  # its lines begin with the condition
            return [stem for stem in self._stems_in(root) if stem.split('/')[0] in conditions]
        stems = []
        for condition in conditions:
            folder = osp.join(root, condition, split)
            self._check_image_folder(folder)
            stems += [f'{condition}/{split}/{stem}' for stem in self._stems_in(folder)]
        return sorted(stems)
