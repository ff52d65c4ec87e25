"""Class-uniform sampling (docs/behavior/deft.md#class-uniform-sampling: part of each epoch shows
all classes evenly).

Shapes: R rows of the table.
"""
import logging
from collections.abc import Sized
from typing import Optional, Union

import numpy as np
from mmengine.logging import print_log

from mmseg_dg.registry import DATA_SAMPLERS
from mmseg_dg.utils.seeding import derive_seed

from ..statistics.class_centroids import COLUMNS, class_centroids
from ..traits import traits
from .infinite import StatelessSampler
from .request import SampleRequest


@DATA_SAMPLERS.register_module()
class ClassUniformSampler(StatelessSampler):
    """Part of each epoch's samples are drawn evenly over the classes, around places where they are.

    An epoch has as many samples as the dataset. ``round(fraction * size) // classes`` of them
    belong to each class: their image and point are drawn from the class's centroids (one per image,
    class and tile). The others are images drawn without repetition, cropped anywhere. Every epoch
    is drawn anew and shuffled. :class:`CentroidCrop` makes a crop that holds the point
    (``wanted_point``).

    Draw ``d`` is a pure function of (seed, d), as for all samplers here; what one epoch drew is
    remembered until the next begins. A class without a single pixel gets no samples (a warning
    names it).

    Memory: four int32 per centroid; GTA has some 50 per image.

    Args:
        dataset: The (wrapped) labeled dataset.
        seed: See :class:`StatelessSampler`.
        fraction: Share of the samples drawn by class, in [0, 1].
        tile: Side of the tiles in pixels of the full-size label.
        tiles: Which tiles give centroids: ``'all'`` (ours), or only ``'complete'`` ones, which the
            border does not cut off (shachoi/RobustNet@8bcd90a, datasets/uniform.py, and the code
            that follows it).
        centroids: None: found, or read from the cache, by :func:`class_centroids`; a dict: options
            for it (``cache_dir``, ``num_workers``, ``rebuild``); or a table int32 (R, 4) with its
            columns.

    Raises:
        ValueError: A bad argument, no centroid, or centroids of another dataset.
    """
    def __init__(self, dataset: Sized, seed: Optional[int] = None, fraction: float = 0.5,
                 tile: int = 1024, tiles: str = 'all', centroids: Union[None, dict,
                                                                        np.ndarray] = None) -> None:
        super().__init__(dataset, seed)
        if not 0 <= fraction <= 1:
            raise ValueError(f'ClassUniformSampler: fraction must lie in [0, 1], got {fraction}')
        self.fraction = fraction
        if centroids is None or isinstance(centroids, dict):
            centroids = class_centroids(dataset, tile=tile, tiles=tiles, **(centroids or {}))
            if len(centroids) == 0:
                raise ValueError(
                    f'ClassUniformSampler: tile={tile} with tiles={tiles!r} finds no class '
                    'anywhere: the labels are empty, or all smaller than a complete tile (lower '
                    "tile, or tiles='all')")
        table = np.asarray(centroids)
        if table.ndim != 2 or table.shape[1] != len(COLUMNS) or len(table) == 0:
            raise ValueError(f'ClassUniformSampler: centroids must be a table (R, {len(COLUMNS)}) '
                             f'with the columns {COLUMNS} and at least one row, got shape '
                             f'{table.shape}')
        if table[:, 0].max() >= self.size:  # columns: image, class, row, column
            raise ValueError(f'ClassUniformSampler: the centroids name image {table[:, 0].max()}, '
                             f'the dataset has {self.size} samples; they belong to different data')
        self._report_missing(table)
        self.table = table
        self.classes = np.unique(table[:, 1])
        # for each class the rows of the table that show it, and how many of them an epoch draws
        self._rows = [np.flatnonzero(table[:, 1] == c) for c in self.classes]
        self.per_class = round(fraction * self.size) // len(self.classes)
        # the draws of the epoch asked for last, kept by _draws_of under (seed, epoch)
        self._epoch_key: Optional[tuple] = None
        self._epoch = np.zeros((0, 2), np.int64)

    def _report_missing(self, table: np.ndarray) -> None:
        """Log a warning that names the classes without a centroid in the table (R, 4), whose second
        column is the class.
        """
        names = traits(self.dataset).classes
        missing = [name for i, name in enumerate(names) if i not in set(table[:, 1].tolist())]
        if missing:
            print_log(
                f'class-uniform sampling: no label has {", ".join(missing)}; the other '
                'classes share the samples', logger='current', level=logging.WARNING)

    def _draws_of(self, epoch: int) -> np.ndarray:
        """(size, 2) int64: image and row of ``table`` (-1: none) of every sample of an epoch; a
        function of seed and epoch, of which the last result is kept.
        """
        key = (self.seed, epoch)
        if self._epoch_key != key:
            generator = np.random.Generator(
                np.random.PCG64(derive_seed(self.seed, 'class uniform', epoch)))
            # rows of the table drawn by class, then images drawn plainly (no row: -1), shuffled
            chosen = [_choose(generator, rows, self.per_class) for rows in self._rows]
            rows = np.concatenate(chosen).astype(np.int64)
            plain = generator.permutation(self.size)[:self.size - len(rows)]
            draws = np.concatenate([
                np.stack([self.table[rows, 0].astype(np.int64), rows], 1),
                np.stack([plain, np.full_like(plain, -1)], 1)
            ])
            self._epoch, self._epoch_key = draws[generator.permutation(len(draws))], key
        return self._epoch

    def request(self, draw: int) -> SampleRequest:
        """The sample of draw number ``draw``: an image of the epoch, with class and place of the
        crop where a class is due.
        """
        epoch, place = divmod(draw, self.size)
        image, row = self._draws_of(epoch)[place]
        if row < 0:  # drawn plainly
            return SampleRequest(int(image), self._sample_seed(draw))
        _, wanted, y, x = (int(value) for value in self.table[row])
        return SampleRequest(int(image), self._sample_seed(draw), wanted, (y, x))


def _choose(generator: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    """``count`` of ``rows``: all of them as often as they fit in whole, and for the remainder
    random ones without repetition.
    """
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), generator.permutation(rows)[:rest]])
