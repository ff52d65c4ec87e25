"""Where each class lies in each image: one point per class and tile, found once per dataset and
cached.

Class-uniform sampling needs it. A label is cut into square tiles from its upper left corner; a
class that occurs in a tile gives one row: the mean position of its pixels there. What is left over
at the right and at the bottom is a smaller tile (``tiles='all'``), or does not count
(``'complete'``): a GTA image of 1914x1052 has four tiles of 1024 pixels, two of them 28 pixels
high, or one.

Shapes: R rows of the table, H x W pixels.
"""
import dataclasses
import functools
import logging
import os
import time
from typing import Any, Optional

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmengine.logging import print_log

from mmseg_dg.utils.console import Progress

from ..parallel import chunks, run_ranges
from ..wrappers import flatten
from .cache import CacheEntry
from .class_statistics import _label_loader

_SERIAL_BELOW = 64  # labels that one process reads as fast as several
_CHUNK = 32  # labels a process is given at a time

#: What happens to tiles that the border cuts off.
TILES = ('all', 'complete')
#: Columns of the table.
COLUMNS = ('image', 'class', 'row', 'column')


def class_centroids(dataset: Any, tile: int = 1024, cache_dir: Optional[str] = None,
                    num_workers: Optional[int] = None, rebuild: bool = False,
                    tiles: str = 'all') -> np.ndarray:
    """The centroids of any labeled dataset, counted or read from the cache of
    :func:`class_statistics`.

    Args:
        dataset: A ``BaseSegDataset`` or wrappers around some.
        tile: Side of a tile in pixels of the full-size label.
        cache_dir: As of :func:`class_statistics`.
        num_workers: Processes; None: all cores.
        rebuild: Count even if the cache is good.
        tiles: ``'all'``, or ``'complete'`` to leave out those the border cuts off.

    Returns:
        int32 (R, 4) with :data:`COLUMNS`, sorted by image; images are numbered as in ``dataset``.

    Raises:
        ValueError: A tile of no pixel, an unknown ``tiles``, or the pipeline loads no labels.
    """
    if tile < 1:
        raise ValueError(f'class_centroids: tile is a number of pixels, got {tile}')
    if tiles not in TILES:
        raise ValueError(f"class_centroids: tiles is 'all' or 'complete', got {tiles!r}")
    # innermost datasets; for each sample of ``dataset`` which of them has it, and its index there
    parts, which, local = flatten(dataset)
    cut = _Cut(tile, tiles)
    tables = [np.asarray(_of_one(part, cut, cache_dir, num_workers, rebuild)) for part in parts]
    if len(parts) == 1 and np.array_equal(local, np.arange(len(parts[0]))):
        return tables[0]  # no wrapper repeats, drops or moves samples
    rows = []
    # where the rows of each image begin in its dataset's table, which is sorted by image
    bounds = [
        np.searchsorted(table[:, 0], np.arange(len(part) + 1))
        for table, part in zip(tables, parts)
    ]
    for image, (part, index) in enumerate(zip(which, local)):
        of_image = tables[part][bounds[part][index]:bounds[part][index + 1]].copy()
        of_image[:, 0] = image  # its number in ``dataset``
        rows.append(of_image)
    return np.concatenate(rows) if rows else np.zeros((0, len(COLUMNS)), np.int32)


@dataclasses.dataclass(frozen=True)
class _Cut:
    """How labels are cut: side in pixels, and which tiles count."""
    tile: int
    tiles: str

    def __str__(self) -> str:
        """Ends the name of the cache file: ``1024`` or ``1024_complete``."""
        return f'{self.tile}' if self.tiles == 'all' else f'{self.tile}_{self.tiles}'


def _of_one(dataset: Any, cut: _Cut, cache_dir: Optional[str], num_workers: Optional[int],
            rebuild: bool) -> np.ndarray:
    """The centroids of one dataset that is no wrapper, int32 (R, 4), from the cache or found now by
    process 0 while the others wait.
    """
    loader = _label_loader(dataset)
    names = tuple(dataset.metainfo.get('classes') or ())
    if not names:
        raise ValueError(
            f'class_centroids: {type(dataset).__name__} has no classes in its metainfo')
    entry = _entry_of_cut(CacheEntry.for_dataset(dataset, loader, names, cache_dir), cut)
    return entry.read_or_make(
        lambda: _find_and_keep(dataset, loader, len(names), cut, num_workers, entry), rebuild)


def _entry_of_cut(counts_entry: CacheEntry, cut: _Cut) -> CacheEntry:
    """The cache entry of the centroids: that of the same labels' pixel counts with other endings
    of the file names and another shape.
    """
    ending = f'_centroids{cut}'
    note = f'{counts_entry.note}, centroids in {cut.tiles} tiles of {cut.tile}'
    # reads, writes: files of the cache that are tried, and the one that is written; -1: any rows
    return dataclasses.replace(counts_entry, reads=tuple(base + ending
                                                         for base in counts_entry.reads),
                               writes=counts_entry.writes + ending, shape=(-1, len(COLUMNS)),
                               note=note)


def _find_and_keep(dataset: Any, loader: BaseLoadAnnotations, num_classes: int, cut: _Cut,
                   num_workers: Optional[int], entry: CacheEntry) -> np.ndarray:
    """Find the centroids in parallel and write them into the cache; a cache that cannot be written
    is a warning in the log. Returns int32 (R, 4), sorted by image.
    """
    started = time.time()
    print_log(f'class centroids: reading {len(dataset)} labels of {type(dataset).__name__}',
              logger='current')
    ranges = chunks(len(dataset), _CHUNK)
    workers = num_workers if num_workers is not None else os.cpu_count() or 1
    find = functools.partial(_find_range, dataset, loader, num_classes, cut)
    progress, found = Progress('finding centroids', len(dataset)), []
    for (start, stop), rows in zip(
            ranges, run_ranges(find, ranges, workers if len(dataset) >= _SERIAL_BELOW else 1)):
        found.append(rows)
        progress.update(stop - start)
    table = np.concatenate(found) if found else np.zeros((0, len(COLUMNS)), np.int32)
    try:
        path = entry.write(table)
    except OSError as error:
        print_log(
            f'class centroids: cannot keep them ({error}); set MMSEG_DG_CACHE to a folder '
            'you may write to', logger='current', level=logging.WARNING)
        return table
    print_log(f'class centroids: done in {time.time() - started:.1f} s, kept in {path}',
              logger='current')
    return table


def _find_range(dataset: Any, loader: BaseLoadAnnotations, num_classes: int, cut: _Cut,
                bounds: tuple[int, int]) -> np.ndarray:
    """Centroids in the images ``bounds[0]`` to ``bounds[1]`` (exclusive), which one process reads:
    int32 (R, 4) with :data:`COLUMNS`.
    """
    tables = []
    for index in range(*bounds):
        label = loader.transform(dataset.get_data_info(index))['gt_seg_map']
        points = tile_centroids(label, num_classes, cut.tile, cut.tiles)
        tables.append(np.insert(points, 0, index, axis=1))  # a first column with the image
    return np.concatenate(tables).astype(np.int32)


def tile_centroids(label: np.ndarray, num_classes: int, tile: int,
                   tiles: str = 'all') -> np.ndarray:
    """Mean position of every class in every tile of one label.

    Args:
        label: uint8 (H, W); ids from ``num_classes`` on do not count.
        num_classes: Number of classes.
        tile: Side of a tile in pixels.
        tiles: ``'all'``, or ``'complete'`` to leave out those the border cuts off; a label smaller
            than a tile then gives no row.

    Returns:
        int32 (R, 3): class, row, column (rounded down), tiles in reading order, classes ascending.
    """
    # a complete tile begins at most at side - tile: + 1, because range excludes its end
    ends = [side if tiles == 'all' else side - tile + 1 for side in label.shape]
    points = [np.zeros((0, 3), np.int64)]  # so that there is something to join without any tile
    for top in range(0, ends[0], tile):
        for left in range(0, ends[1], tile):
            part = label[top:top + tile, left:left + tile]
            ids = part.ravel()
            counts = np.bincount(ids, minlength=num_classes)[:num_classes]
            # row and column of every pixel in the tile; their sums and then their means by class
            rows, columns = np.divmod(np.arange(ids.size), part.shape[1])
            row_sums, column_sums = (np.bincount(ids, weights=places,
                                                 minlength=num_classes)[:num_classes]
                                     for places in (rows, columns))
            present = np.flatnonzero(counts)
            mean_rows, mean_columns = ((sums[present] / counts[present]).astype(np.int64)
                                       for sums in (row_sums, column_sums))
            points.append(np.stack([present, mean_rows + top, mean_columns + left], axis=1))
    return np.concatenate(points).astype(np.int32)
