"""Base of the datasets with the 19 Cityscapes classes that mmseg lacks."""
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmseg.datasets import BaseSegDataset, CityscapesDataset

from .checks import (
    check_files,
    check_folder,
    check_not_empty,
    list_files,
    loads_labels,
    missing_of,
    share_backend_args,
)
from .image_lists import read_list, refuse_columns, stem_of
from .label_tables import full_table
from .resized_copies import COUNTS, copies_folder, prefix_of_copies, scale_of
from .wrappers import transforms_of


class TrainIdDataset(BaseSegDataset):
    """19 Cityscapes classes, image and label folders of equal structure, clear errors.

    A subclass sets the class attributes. Images are found below the image folder at any depth, or
    named by ``ann_file`` (one name per line, relative to the image folder, with or without suffix).
    Labels must exist only when the pipeline loads them: an unlabeled stream drops
    ``LoadAnnotations`` and needs no label folder.

    Args:
        raw_ids: Labels are the files as published; their ids are mapped while loading, no converted
            copies are needed. False: converted ``*_labelTrainIds.png``.
        img_suffix: Ending of image files; None: the dataset's own.
        seg_map_suffix: Ending of label files; None: the dataset's own.
        data_prefix: ``dict(img_path=..., seg_map_path=...)`` below ``data_root``; None: the
            dataset's own layout.
        resized: Read the copies that ``tools/dataset_converters/resized_copies.py`` made at the
            scale of the pipeline's ``Resize``, which then changes nothing: the same pixels, from
            files of less than half the size. Their labels are trainIds, whatever ``raw_ids``.
        **kwargs: ``data_root``, ``ann_file``, ``pipeline``, ``indices``, ``metainfo``,
            ``backend_args``, ``test_mode`` and the rest of :class:`mmseg.datasets.BaseSegDataset`
            (it refuses unknown ones). ``backend_args`` also reaches the loading transforms that
            have none of their own.

    Attributes:
        original_counts: File with the pixel counts of the labels as published (``resized=True``:
            rare class sampling draws the images it draws without copies), else None.

    Raises:
        FileNotFoundError: A folder is missing or has no such files (the message says what is
            there), or images have no label (the first ones and their number are named).
        ValueError: ``raw_ids`` for a dataset without an id table, an empty list, a wrong loader in
            the pipeline, ``resized`` with a pipeline that does not begin with a fixed size.
    """
    METAINFO = CityscapesDataset.METAINFO
    IMG_SUFFIX = '.png'
    #: Ending of converted labels, and of the files as published (``raw_ids=True``).
    SEG_MAP_SUFFIX = '_labelTrainIds.png'
    RAW_SEG_MAP_SUFFIX: Optional[str] = None
    #: Published id -> train id, scored ids only; None: the dataset has no ``raw_ids``.
    RAW_TO_TRAIN_ID: Optional[Mapping[int, int]] = None
    #: Loading step that published labels need; None: the usual one reads them.
    RAW_LOADER: Optional[type[BaseLoadAnnotations]] = None
    #: Folders of images and labels below ``data_root``.
    DATA_PREFIX: dict[str, str] = dict(img_path='', seg_map_path='')

    #: ``full_init`` refuses missing files, so :func:`~.checks.check_leaf` need not look for them.
    checks_itself = True

    def __init__(self, raw_ids: bool = False, img_suffix: Optional[str] = None,
                 seg_map_suffix: Optional[str] = None, data_prefix: Optional[dict] = None,
                 resized: bool = False, **kwargs: Any) -> None:
        if raw_ids and self.RAW_TO_TRAIN_ID is None:
            raise ValueError(f'{type(self).__name__} has no table of raw ids; use converted labels '
                             'and raw_ids=False')
        prefix = dict(self.DATA_PREFIX) if data_prefix is None else data_prefix
        # file with the class counts of labels at their original size; only copies have one
        self.original_counts: Optional[str] = None
        if resized:
            owner, root = type(self).__name__, kwargs.get('data_root')
            scale = scale_of(kwargs.get('pipeline', ()), owner)
            prefix, raw_ids = prefix_of_copies(prefix, scale, root, owner), False
            self.original_counts = osp.join(root or '', copies_folder(scale), COUNTS)
        self.raw_ids = raw_ids
        own_suffix = self.RAW_SEG_MAP_SUFFIX if raw_ids else self.SEG_MAP_SUFFIX
        super().__init__(img_suffix=self.IMG_SUFFIX if img_suffix is None else img_suffix,
                         seg_map_suffix=own_suffix if seg_map_suffix is None else seg_map_suffix,
                         data_prefix=prefix, **kwargs)

    def full_init(self) -> None:
        """List the files (once) and check them.

        Sets ``_raw_table``, published id -> class index (None: labels are converted files).
        """
        if self._fully_initialized:  # mmengine's flag
            return
        share_backend_args(self)
        self._check_loader()
        self._raw_table = self._compose_raw_table() if self.raw_ids else None
        super().full_init()  # calls load_data_list

    def get_data_info(self, idx: int) -> dict:
        """File paths of one sample, and how its labels are read: ``raw_ids`` (as published, or
        converted) and the map of ids.
        """
        info = super().get_data_info(idx)  # calls full_init where that was put off
        info['raw_ids'] = self.raw_ids
        if self._raw_table is not None:
            # replaces the map of mmseg, which it includes; one table that all samples share
            info['label_map'] = self._raw_table
        return info

    def load_data_list(self) -> list[dict]:
        """One info per image: ``img_path``, ``seg_map_path`` and what mmseg's loader of labels
        reads, in the order of the list or sorted by image. ``data_prefix`` without
        ``seg_map_path``: images only.
        """
        stems = self._find_stems()
        images, labels = self.data_prefix['img_path'], self.data_prefix.get('seg_map_path')
        infos: list[dict[str, Any]] = []
        for stem in stems:
            info = dict(img_path=osp.join(images, stem + self.img_suffix))
            if labels is not None:
                info['seg_map_path'] = osp.join(labels, self.label_stem(stem) + self.seg_map_suffix)
            info.update(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label,
                        seg_fields=[])
            infos.append(info)
        if loads_labels(self.pipeline):
            self._check_labels([info['seg_map_path'] for info in infos if 'seg_map_path' in info])
        return infos

    def label_stem(self, stem: str) -> str:
        """The label file of an image, relative to the label folder and without suffix: that of the
        image.
        """
        return stem

    def _find_stems(self) -> list[str]:
        """Image paths without suffix, relative to ``data_prefix['img_path']`` (which a subclass may
        move here).
        """
        images = self.data_prefix['img_path']
        self._check_image_folder(images)
        return self._stems_in(images)

    def _check_image_folder(self, folder: str) -> None:
        """Refuse a folder of images that does not exist."""
        check_folder(
            folder, 'image',
            type(self).__name__, 'Correct data_root / data_prefix, or '
            'see the dataset page of the docs for '
            'how to prepare it', self.backend_args)

    def _stems_in(self, folder: str) -> list[str]:
        """Names of the images in ``folder`` without suffix, from the list (``ann_file``) or from
        the folder's files; FileNotFoundError where listed images are missing or there are none.
        """
        owner = type(self).__name__
        if self.ann_file:
            names = read_list(self.ann_file, owner, self.backend_args)
            stems = self.stems_of(names, folder)
            if len(set(stems)) < len(stems):
                twice = sorted(name for name in names
                               if name not in stems and stem_of(name, self.img_suffix) in names)
                raise ValueError(f'{owner}: the list {self.ann_file!r} names images twice, with '
                                 f'and without {self.img_suffix!r}: {twice[:5]}')
            paths = [osp.join(folder, stem + self.img_suffix) for stem in stems]
            missing = missing_of(paths, self.backend_args)
            # first: a list of two columns has all images "missing", and another remedy
            refuse_columns(stems, [stem for stem, path in zip(stems, paths) if path in missing],
                           self.ann_file, owner)
            check_files(paths, [], owner, self.backend_args)
            return stems
        files = list_files(folder, self.img_suffix, self.backend_args)
        check_not_empty(files, folder, self.img_suffix, 'image', owner, self.backend_args)
        return [name[:-len(self.img_suffix)] for name in files]

    def stems_of(self, names: Sequence[str], folder: str) -> list[str]:
        """Names of a list without the suffix that some or all of them have.

        Args:
            names: As the list has them.
            folder: The images'. A name whose file has the suffix twice keeps one of the two.
        """
        path_of = {
            name: osp.join(folder, name + self.img_suffix)
            for name in names if stem_of(name, self.img_suffix) != name
        }
        missing = missing_of(list(path_of.values()), self.backend_args) if path_of else set()
        return [
            stem_of(name, self.img_suffix) if path_of.get(name) in missing else name
            for name in names
        ]

    def _check_labels(self, labels: list[str]) -> None:
        """Raise (ValueError, FileNotFoundError) for label folders and files that are not there."""
        owner, folder = type(self).__name__, self.data_prefix.get('seg_map_path')
        if folder is None:
            raise ValueError(
                f"{owner}: the pipeline loads labels, but data_prefix has no 'seg_map_path'; add "
                'it, or remove LoadAnnotations from the pipeline')
        hint = ('A stream without labels must not have LoadAnnotations in its pipeline; otherwise '
                'correct data_root / data_prefix')
        check_folder(folder, 'label', owner, hint, self.backend_args)
        if not self.ann_file:  # a list may be short: its labels are looked for one by one below
            files = list_files(folder, self.seg_map_suffix, self.backend_args)
            check_not_empty(files, folder, self.seg_map_suffix, 'label', owner, self.backend_args)
        check_files([], labels, owner, self.backend_args)

    def _check_loader(self) -> None:
        """Refuse (ValueError) a pipeline that reads published labels with another loading step than
        ``RAW_LOADER``, where the dataset needs that one.
        """
        if not (self.raw_ids and self.RAW_LOADER):
            return
        for step in transforms_of(self.pipeline):
            if isinstance(step, BaseLoadAnnotations) and not isinstance(step, self.RAW_LOADER):
                raise ValueError(f'{type(self).__name__}(raw_ids=True) needs '
                                 f'{self.RAW_LOADER.__name__} instead of {type(step).__name__} in '
                                 'its pipeline: the published labels are no plain 8-bit ids')

    def _compose_raw_table(self) -> dict[int, int]:
        """Raw id -> class index or 255 (ignored), for all 256 ids."""
        assert self.RAW_TO_TRAIN_ID is not None  # __init__ refuses raw_ids without it
        # mmseg's map, train id -> index among the classes the user chose (metainfo); None: all
        chosen = self.label_map or {}
        return {
            raw: chosen.get(train, train)
            for raw, train in full_table(self.RAW_TO_TRAIN_ID).items()
        }
