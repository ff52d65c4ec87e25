"""Anyone's own images and masks: class names and folders in the config, no Python."""
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from mmseg.datasets import BaseSegDataset

from mmseg_dg.ops.labels import MOST_CLASSES, too_many_classes
from mmseg_dg.registry import DATASETS

from .checks import (
    check_files,
    check_folder,
    check_not_empty,
    list_files,
    loads_labels,
    share_backend_args,
)
from .class_names import distinct_colors, read_classes
from .image_lists import IMAGE_SUFFIXES, listed, names_of, stem_of
from .label_tables import IGNORE

_HINT = 'Correct data_root / data_prefix'


@DATASETS.register_module()
class FolderDataset(BaseSegDataset):
    """Images below one folder, masks below another under the same names; any number of classes.

    A mask has one channel with the number of the class of each pixel (0 for the first of
    ``classes``), 255 where a pixel is to be ignored. ``images/a/1.jpg`` belongs to
    ``masks/a/1.png``. As an unlabeled stream it needs only images: leave ``seg_map_path`` and
    ``LoadAnnotations`` out.

    Args:
        classes: Class names, in the order of the ids; 2 to 255 where masks are loaded. Or the path
            of a text file with one name per line
            (:func:`~mmseg_dg.datasets.class_names.read_classes`).
        palette: RGB color per class, for pictures; None: those of the text file, or distinct ones
            (:func:`~mmseg_dg.datasets.class_names.distinct_colors`), equal for all streams.
        label_map: What ids in the files mean, ``{id: class number or 255}``; ids not named keep
            their meaning. Binary 0/255 masks: ``{255: 1}`` with two classes. Keys may be text
            (``'255'``); an empty dict maps nothing.
        img_suffix: Ending of image files, or several; default: PNG and JPEG.
        seg_map_suffix: Ending of mask files, after the image's name without its ending.
        **kwargs: ``data_root``, ``data_prefix=dict(img_path=..., seg_map_path=...)``, ``ann_file``
            (one name per line relative to the image folder, with or without the ending),
            ``pipeline``, ``indices``, ``reduce_zero_label``, ``backend_args`` and the rest of
            :class:`mmseg.datasets.BaseSegDataset` (it refuses unknown ones).

    Raises:
        FileNotFoundError: A folder is missing or has no such files; images without a mask.
        ValueError: No classes or more than 255, a palette of another length, a ``label_map`` to
            something that is no class, two images that share a mask.
    """
    #: ``full_init`` refuses missing files, so :func:`~.checks.check_leaf` need not look for them.
    checks_itself = True

    def __init__(self, classes: Union[str, Sequence[str]],
                 palette: Optional[Sequence[Sequence[int]]] = None,
                 label_map: Optional[Mapping[Union[int, str], int]] = None,
                 img_suffix: Union[str, Sequence[str]] = IMAGE_SUFFIXES,
                 seg_map_suffix: str = '.png', **kwargs: Any) -> None:
        if isinstance(classes, str) and classes:
            classes, colors = read_classes(classes)
            palette = colors if palette is None else palette
        if not classes:
            raise ValueError(
                "FolderDataset: classes is a list of names such as ['background', 'crack'], or a "
                f'text file with one name per line, got {classes!r}')
        if len(classes) > MOST_CLASSES:
            raise ValueError(too_many_classes('FolderDataset', len(classes)))
        metainfo: dict[str, Any] = dict(classes=tuple(classes))
        palette = distinct_colors(len(classes)) if palette is None else palette
        if len(palette) != len(classes):
            raise ValueError(f'FolderDataset: {len(classes)} classes but {len(palette)} colors in '
                             'palette; give one (red, green, blue) per class, or leave palette out')
        metainfo['palette'] = [list(color) for color in palette]
        # not self.label_map: that one is mmseg's, for a choice among known classes
        self.id_map = _checked_map(label_map, len(classes))
        suffixes = img_suffix if isinstance(img_suffix, str) else tuple(img_suffix)
        super().__init__(metainfo=metainfo, img_suffix=suffixes, seg_map_suffix=seg_map_suffix,
                         **kwargs)

    def full_init(self) -> None:
        """List the files (once), and let loading steps use the dataset's ``backend_args``."""
        if not self._fully_initialized:  # mmengine's flag
            share_backend_args(self)
            super().full_init()

    def load_data_list(self) -> list[dict]:
        """One info per image: ``img_path``, ``seg_map_path`` and what mmseg's loader of labels
        reads, sorted by image or in the order of ``ann_file``; only images when ``data_prefix`` has
        no ``seg_map_path``.
        """
        folder, owner = self.data_prefix['img_path'], type(self).__name__
        check_folder(folder, 'image', owner, _HINT, self.backend_args)
        files = list_files(folder, self.img_suffix, self.backend_args)
        check_not_empty(files, folder, self.img_suffix, 'image', owner, self.backend_args)
        if self.ann_file:
            files = self._listed(files)
        masks = self.data_prefix.get('seg_map_path')
        infos = []
        for name in files:
            info = dict(img_path=osp.join(folder, name), label_map=self.id_map,
                        reduce_zero_label=self.reduce_zero_label, seg_fields=[])
            if masks is not None:
                info['seg_map_path'] = osp.join(
                    masks,
                    stem_of(name, self.img_suffix) + self.seg_map_suffix)
            infos.append(info)
        if loads_labels(self.pipeline):
            self._check_masks(infos, masks, owner)
        return infos

    def _by_name(self, files: list[str]) -> dict[str, str]:
        """{what a list may call a file: file}, with and without the ending."""
        return names_of(files, self.img_suffix)

    def _listed(self, files: list[str]) -> list[str]:
        """The files named by ``ann_file``, in its order."""
        return listed(self._by_name(files), self.ann_file, self.img_suffix,
                      type(self).__name__, self.backend_args)

    def _check_masks(self, infos: list[dict], folder: Optional[str], owner: str) -> None:
        """Refuse missing masks (ValueError, FileNotFoundError), and one mask for two images
        (ValueError); ``folder`` is that of the masks, None where ``data_prefix`` has none.
        """
        if folder is None:
            raise ValueError(
                f"{owner}: the pipeline loads masks, but data_prefix has no 'seg_map_path'; add "
                'it, or remove LoadAnnotations from the pipeline of an unlabeled stream')
        check_folder(folder, 'mask', owner, _HINT, self.backend_args)
        if not self.ann_file:  # a list may be short: its masks are looked for one by one below
            files = list_files(folder, self.seg_map_suffix, self.backend_args)
            check_not_empty(files, folder, self.seg_map_suffix, 'mask', owner, self.backend_args)
        masks = [info['seg_map_path'] for info in infos]
        check_files([], masks, owner, self.backend_args)
        if len(set(masks)) < len(masks):  # two images of one name with different endings
            seen: dict[str, str] = {}
            for info in infos:
                other = seen.setdefault(info['seg_map_path'], info['img_path'])
                if other != info['img_path']:
                    raise ValueError(f'{owner}: {other} and {info["img_path"]} would share the '
                                     f'mask {info["seg_map_path"]}; set img_suffix to one ending')


def _checked_map(label_map: Optional[Mapping], num_classes: int) -> Optional[dict[int, int]]:
    """``label_map`` (id in the masks -> class index, or 255) with numbers for keys and values;
    None for none, ValueError for what is no number or out of range.
    """
    if not label_map:
        return None
    result = {}
    for key, value in label_map.items():
        try:
            old, new = int(key), int(value)
        except (TypeError, ValueError):
            raise ValueError(
                f'FolderDataset: label_map={dict(label_map)} must map ids to ids, such as '
                '{255: 1}') from None
        if not 0 <= old <= 255 or not (0 <= new < num_classes or new == IGNORE):
            remedy = ("; with one class nothing is told apart, name the background too: "
                      "classes=['background', ...]" if num_classes == 1 else '')
            raise ValueError(f'FolderDataset: label_map has {key}: {value}; ids are 0..255, and '
                             f'their meaning one of the classes 0..{num_classes - 1} or {IGNORE} '
                             f'(ignore){remedy}')
        result[old] = new
    return result
