"""GTA5: 24 966 rendered street scenes with the Cityscapes classes."""
import os.path as osp
from typing import Any, Optional

import mmengine.fileio as fileio
from mmengine.logging import print_log

from mmseg_dg.registry import DATASETS

from .base import TrainIdDataset
from .checks import check_files
from .image_lists import read_list
from .label_tables import GTA_TO_TRAIN_ID

#: List of the images whose labels differ from them in size, written by the converter.
UNUSABLE = 'splits/unusable.txt'


@DATASETS.register_module()
class GTADataset(TrainIdDataset):
    """GTA5 (Richter et al., "Playing for Data", ECCV 2016).

    Layout below ``data_root``: ``images/00001.png`` and ``labels/00001_labelTrainIds.png``, or with
    ``raw_ids=True`` the published palette files ``labels/00001.png``.

    A few published labels differ in size from their image; loading one is an error.
    ``tools/dataset_converters/gta.py`` finds them and writes their names to
    ``splits/unusable.txt``, which is left out from then on, and all others to
    ``splits/usable.txt``.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'`` of the official split (12 403 / 6 382 / 6 181
            images), read from the published file that ``ann_file`` names (``'split.mat'``, below
            ``data_root``).
        exclude: List file (below ``data_root``) of images to leave out, by name with or without
            suffix; the default may be missing, another name must be there; None: nothing is left
            out.
        **kwargs: See :class:`TrainIdDataset`.

    Attributes:
        left_out: Number of images that ``exclude`` took away (known once the files are listed).

    Raises:
        ValueError: ``split`` without a ``.mat`` file, or an unknown one.
    """
    RAW_SEG_MAP_SUFFIX = '.png'
    RAW_TO_TRAIN_ID = GTA_TO_TRAIN_ID
    DATA_PREFIX = dict(img_path='images', seg_map_path='labels')

    def __init__(self, split: Optional[str] = None, exclude: Optional[str] = UNUSABLE,
                 **kwargs: Any) -> None:
        # the argument split and the file split.mat belong together: one alone is a mistake
        if (split is None) == str(kwargs.get('ann_file', '')).endswith('.mat'):
            raise ValueError(
                "GTADataset: split='train' (or 'val', 'test') and ann_file='split.mat' belong "
                f'together; got split={split!r}, ann_file={kwargs.get("ann_file", "")!r}')
        if split not in (None, 'train', 'val', 'test'):
            raise ValueError(f"GTADataset: split must be 'train', 'val' or 'test', got {split!r}")
        self.split, self.exclude, self.left_out = split, exclude, 0
        super().__init__(**kwargs)

    def _find_stems(self) -> list[str]:
        """Stems of all images but those of the list ``exclude``; their number is kept in
        ``left_out``.
        """
        stems = super()._find_stems()
        path = osp.join(self.data_root or '', self.exclude or '')
        # the default list may be missing, one that the user names may not
        if not self.exclude or self.exclude == UNUSABLE and not fileio.exists(
                path, backend_args=self.backend_args):
            return stems
        left_out = set(read_list(path, type(self).__name__, self.backend_args, allow_empty=True))
        kept = [stem for stem in stems if not {stem, stem + self.img_suffix} & left_out]
        self.left_out = len(stems) - len(kept)
        if self.left_out:
            print_log(f'GTADataset: {self.left_out} images of {path} are left out',
                      logger='current')
        return kept

    def _stems_in(self, folder: str) -> list[str]:
        """Stems of the images of the split that ``split.mat`` (``ann_file``) lists; without
        ``split`` those of the list or the folder, as other datasets.
        """
        if self.split is None:
            return super()._stems_in(folder)
        # here, because the converters are of no use to a run that reads no split.mat
        from .conversion.gta import read_split
        stems = read_split(self.ann_file, self.backend_args)[self.split]
        check_files([osp.join(folder, stem + self.img_suffix) for stem in stems], [],
                    type(self).__name__, self.backend_args)
        return stems
