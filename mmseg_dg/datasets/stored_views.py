"""Maps of a frozen encoder on disk: a fixed number of drawn views of every image, memory-mapped.

Shapes: C channels, H x W pixels, h x w places of a smaller map.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.ops import EncodedImages
from mmseg_dg.utils.seeding import derive_seed

from .samplers.request import SampleRequest

#: Files and folder of a build, and the name of the array of checksums: one CRC-32 per array and
#: view.
INDEX, PROGRESS, BUILDING, SUMS = 'features.json', 'progress.json', 'building', 'checksums'
#: Name of the array that tells of every view which image it shows: another one than its own where
#: the image's file could not be read.
SHOWN = 'image'


class FeatureCacheError(ValueError):
    """Cached features cannot be used: damaged, or of something else; the message names folder,
    value and way out."""


def read_index(folder: Union[str, Path]) -> Optional[dict]:
    """The index of a folder of cached features, or None where nothing is complete yet.

    Returns:
        ``recipe``: what the features were made of and with; ``arrays``: {name: (dtype, shape)} of
        the ``.npy`` files; ``images``: path of each image; ``views``: per image; ``size``: [H, W]
        of the views; ``levels``: maps per view; ``variants``: names of further encodings.

    Raises:
        FeatureCacheError: The index file cannot be read.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_text(encoding='utf-8'))
        if not {'recipe', 'arrays', 'images'} <= set(index):
            raise ValueError('entries are missing')
    except (ValueError, TypeError, RecursionError) as error:
        raise FeatureCacheError(
            f'the cached features in {folder} are damaged: {path.name} cannot be read ({error}). '
            'Delete the folder; it is built again') from error
    return index


def read_progress(folder: Union[str, Path]) -> Optional[dict]:
    """What an interrupted build has left: ``done``, the number of views that are written, and
    ``index``, what :func:`read_index` would have given; None where nothing of it can be read.
    """
    try:
        progress = json.loads((Path(folder) / BUILDING / PROGRESS).read_text(encoding='utf-8'))
        index = progress['index']
        return dict(done=int(progress['done']), index=dict(index, recipe=dict(index['recipe'])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def check_recipe(folder: Union[str, Path], recipe: Mapping) -> None:
    """Refuse a folder that holds features of another recipe, complete or of an interrupted build.

    Raises:
        FeatureCacheError: The message names each difference; or the index file cannot be read.
    """
    index, what = read_index(folder), 'cached features'
    if index is None:
        index, what = (read_progress(folder) or {}).get('index'), 'an interrupted build of features'
    different = differences(index['recipe'], recipe) if index else []
    if different:
        raise FeatureCacheError(
            f'{folder} holds {what} of another encoder, pipeline or setting: '
            f'{"; ".join(different)}. Give another cached_features.folder (None finds one by '
            'itself for every recipe), or delete this one')


def differences(theirs: Mapping, ours: Mapping) -> list[str]:
    """One text per entry (dotted key) in which two recipes differ, with both values.

    Args:
        theirs: Recipe of the features on disk.
        ours: Recipe of this run.
    """
    stored, wanted = dict(_flat(theirs)), dict(_flat(ours))
    return [
        f'{key} is {_short(stored.get(key))} there and {_short(wanted.get(key))} in this run'
        for key in sorted({*stored, *wanted}) if stored.get(key) != wanted.get(key)
    ]


def _flat(node: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    """``(dotted key, value)`` of every leaf below a JSON value; an empty dict or list is a leaf.
    ``key`` is that of ``node`` itself.
    """
    if not isinstance(node, (Mapping, list)) or not node:
        yield key, node
        return
    for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
        yield from _flat(value, f'{key}.{name}' if key else str(name))


def _short(value: Any, length: int = 160) -> str:
    """The value as text, cut at ``length``."""
    text = str(value)
    return text if len(text) <= length else f'{text[:length]}...'


class StoredViews:
    """Reads what :class:`~.view_writer.ViewWriter` has written; a sample is a function of its
    request alone.

    Args:
        folder: Of one stream.
        recipe: What the features must have been made of and with (plain JSON values).

    Raises:
        FeatureCacheError: They were made of something else, or a file is missing or of another
            size; when a view is read: its bytes are not those that were written.
    """
    def __init__(self, folder: Union[str, Path], recipe: Mapping) -> None:
        self.folder = Path(folder)
        index = read_index(folder)
        if index is None:
            raise FeatureCacheError(f'there are no complete cached features in {folder}')
        check_recipe(folder, recipe)
        # views: per image; size: (H, W) of the images that were encoded
        self.index, self.views, self.size = index, index['views'], tuple(index['size'])
        for name, (dtype, shape) in index['arrays'].items():
            path, wanted = self._path(name), int(np.prod(shape)) * np.dtype(dtype).itemsize
            has = path.stat().st_size if path.is_file() else -1
            if has < wanted:  # a whole file has more: the header of .npy
                raise FeatureCacheError(
                    f'the cached features in {folder} are damaged: {path.name} has {max(has, 0)} '
                    f'bytes instead of {wanted} and more. Delete the folder; it is built again')
        self._open: dict[str, np.ndarray] = {}  # arrays that were asked for, memory-mapped

    def __getstate__(self) -> dict:
        """Without the mapped arrays, which pickle would copy: a worker process maps the files
        itself.
        """
        return dict(self.__dict__, _open={})

    def _path(self, name: str) -> Path:
        """File of an array."""
        return self.folder / f'{name}.npy'

    def _array(self, name: str) -> np.ndarray:
        """One of the stored arrays, mapped into memory when it is first asked for."""
        if name not in self._open:
            try:
                self._open[name] = np.load(self._path(name), mmap_mode='r')
            except (OSError, ValueError) as error:
                raise FeatureCacheError(
                    f'the cached features in {self.folder} are damaged: {name}.npy cannot be read '
                    f'({error}). Delete the folder; it is built again') from error
        return self._open[name]

    def row(self, name: str, row: int) -> np.ndarray:
        """A copy of one view's part of the array ``name``, after its checksum was compared.

        Args:
            name: Of the array.
            row: ``image * views + view``.

        Raises:
            FeatureCacheError: The bytes are not those that were written.
        """
        value = np.array(self._array(name)[row])
        # (arrays, rows) of checksums, the arrays in the order of the index
        wanted = int(self._array(SUMS)[list(self.index['arrays']).index(name), row])
        if zlib.crc32(value.tobytes()) != wanted:
            image, view = divmod(row, self.views)
            raise FeatureCacheError(
                f'the cached features in {self.folder} are damaged: view {view} of image {image} '
                f'({self.index["images"][image]}) in {name}.npy is not what was written. Delete '
                'the folder; it is built again')
        return value

    def left_out(self) -> list[str]:
        """Paths of the images whose file could not be read when they were encoded, so that some of
        their views show other images.
        """
        if SHOWN not in self.index['arrays']:  # of an earlier version
            return []
        own = np.repeat(np.arange(len(self.index['images'])), self.views)
        others = np.unique(own[self._array(SHOWN) != own])
        return [self.index['images'][image] for image in others]

    def view_of(self, request: SampleRequest) -> int:
        """Which view a request gets: one of those that show the wanted class well, chosen by its
        seed.

        A view shows a class well with at least half of the pixels of the image's view that has most
        of it; if none has any, or no class is wanted, every view is chosen from.
        """
        candidates = np.arange(self.views)
        # streams with labels have pixels per id of each view, (all views, 256)
        if request.wanted_class is not None and 'counts' in self.index['arrays']:
            first = request.index * self.views
            pixels = self._array('counts')[first:first + self.views, request.wanted_class]
            if pixels.max() > 0:
                candidates = np.flatnonzero(2 * pixels >= pixels.max())
        return int(candidates[derive_seed(request.seed, 'cached view') % len(candidates)])

    def sample(self, request: SampleRequest) -> dict:
        """One of the stored views of the requested image (:meth:`view_of`), as the pipeline would
        give it, but encoded.

        Returns:
            ``inputs``: :class:`EncodedImages` of one image, with the stored variants;
            ``data_samples``: ``gt_sem_seg`` int64, ``valid_pseudo_mask`` bool and ``mixed_label``
            uint8 (of the variant ``mixed``; widened when it is used), each (1, H, W), those of
            them that were stored. Their metainfo has ``cached_view`` and ``cached_image``, the
            image that is shown: another one than the requested where :meth:`left_out` has that.
        """
        view = self.view_of(request)
        row = request.index * self.views + view
        levels = self.index['levels']

        def maps(prefix: str) -> EncodedImages:
            """The encoder's maps (1, C, h, w), one per level, of the view itself (``prefix`` '') or
            of a variant (its name and a dot).
            """
            return EncodedImages(
                [torch.from_numpy(self.row(f'{prefix}map{i}', row))[None] for i in range(levels)],
                self.size,
            )

        images = maps('')
        images.variants = {name: maps(f'{name}.') for name in self.index['variants']}
        shown = request.index
        if SHOWN in self.index['arrays']:
            shown = int(self.row(SHOWN, row))
        metainfo = dict(img_path=self.index['images'][shown], img_shape=self.size, cached_view=view,
                        cached_image=shown)
        sample = SegDataSample(metainfo=metainfo)
        # name of the array, name of the field in the sample
        for name, key in (
            ('label', 'gt_sem_seg'),
            ('valid', 'valid_pseudo_mask'),
            ('mixed.label', 'mixed_label'),
        ):
            if name in self.index['arrays']:
                value = torch.from_numpy(self.row(name, row))[None]  # (1, H, W)
                sample.set_data(
                    {key: PixelData(data=value.long() if key == 'gt_sem_seg' else value)})
        return dict(inputs=images, data_samples=sample)
