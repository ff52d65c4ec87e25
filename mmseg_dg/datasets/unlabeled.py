"""Any folder of images as an unlabeled stream."""
import os.path as osp
from collections.abc import Sequence
from typing import Any, Optional, Union

from mmseg.datasets import BaseSegDataset
from mmseg.utils import get_classes, get_palette

from mmseg_dg.registry import DATASETS

from .checks import check_folder, check_not_empty, list_files, loads_labels, share_backend_args
from .folder import FolderDataset
from .image_lists import IMAGE_SUFFIXES, listed, names_of


@DATASETS.register_module()
class UnlabeledImageDataset(BaseSegDataset):
    """Images below a folder, at any depth, with no labels.

    Streams must agree on classes and palette, so these are given although no label is read.

    Args:
        like: Name of a dataset mmseg knows, for classes and palette: ``'cityscapes'``, ``'voc'``,
            ``'ade'``, ... Or pass ``metainfo=dict(classes=..., palette=...)``.
        img_suffix: One ending or several; default: PNG and JPEG.
        **kwargs: ``data_root``, ``data_prefix=dict(img_path=...)``, ``ann_file`` (one name per
            line, relative to the folder, with or without the ending), ``pipeline``, ``indices``,
            ``backend_args`` and the rest of :class:`mmseg.datasets.BaseSegDataset` (it refuses
            unknown ones).

    Raises:
        FileNotFoundError: The folder is missing, has no such images, or listed images are not
            there.
        ValueError: No classes given, or the pipeline loads labels.
    """
    #: ``full_init`` refuses missing files, so :func:`~.checks.check_leaf` need not look for them.
    checks_itself = True

    def __init__(self, like: Optional[str] = None, metainfo: Optional[dict] = None,
                 img_suffix: Union[str, Sequence[str]] = IMAGE_SUFFIXES, **kwargs: Any) -> None:
        if like is not None:  # mmseg's classes and colors, where metainfo does not give its own
            metainfo = dict(dict(classes=tuple(get_classes(like)), palette=get_palette(like)),
                            **(metainfo or {}))
        if not (metainfo or {}).get('classes'):
            raise ValueError(
                "UnlabeledImageDataset: pass like='cityscapes' (or another dataset mmseg knows) or "
                'metainfo=dict(classes=..., palette=...), the same as the labeled stream has')
        suffixes = img_suffix if isinstance(img_suffix, str) else tuple(img_suffix)
        super().__init__(metainfo=metainfo, img_suffix=suffixes, **kwargs)

    def full_init(self) -> None:
        """List the images (once); refuses (ValueError) a pipeline that loads labels."""
        if self._fully_initialized:  # mmengine's flag
            return
        if loads_labels(self.pipeline):
            raise ValueError('UnlabeledImageDataset: its pipeline has a LoadAnnotations step; '
                             'remove it, or use a labeled dataset class')
        share_backend_args(self)
        super().full_init()

    def load_data_list(self) -> list[dict]:
        """One info per image, sorted by path, or in the order of ``ann_file``."""
        folder, owner = self.data_prefix['img_path'], type(self).__name__
        check_folder(folder, 'image', owner, 'Correct data_root / data_prefix', self.backend_args)
        files = list_files(folder, self.img_suffix, self.backend_args)
        check_not_empty(files, folder, self.img_suffix, 'image', owner, self.backend_args)
        if self.ann_file:
            files = self._listed(files)
        return [
            dict(img_path=osp.join(folder, name), reduce_zero_label=False, seg_fields=[])
            for name in files
        ]

    def _by_name(self, files: list[str]) -> dict[str, str]:
        """{what a list may call a file: file}: with ``img_suffix='_rgb.png'`` a line ``a_rgb.png``,
        ``a_rgb`` or ``a`` names ``a_rgb.png``.
        """
        by_stem = {osp.splitext(name)[0]: name for name in files}
        return {**by_stem, **names_of(files, self.img_suffix)}  # img_suffix goes first

    def _listed(self, files: list[str]) -> list[str]:
        """The files named by ``ann_file``, in its order."""
        return listed(self._by_name(files), self.ann_file, self.img_suffix,
                      type(self).__name__, self.backend_args)


def has_no_masks(dataset: Any) -> bool:
    """Whether a dataset (no wrapper) says by its kind and folders that it has images only."""
    return isinstance(
        dataset, UnlabeledImageDataset) or (isinstance(dataset, FolderDataset)
                                            and not (dataset.data_prefix or {}).get('seg_map_path'))
