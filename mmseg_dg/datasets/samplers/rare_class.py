"""Rare class sampling (DAFormer; docs/behavior/daformer_hrda.md#rare-class-sampling)."""
import logging
from collections.abc import Sized
from typing import Optional, Union

import numpy as np
from mmengine.logging import print_log

from mmseg_dg.ops import rare_class_probabilities
from mmseg_dg.registry import DATA_SAMPLERS
from mmseg_dg.utils.seeding import derive_seed

from ..statistics.class_statistics import ClassStatistics, class_statistics, from_official_json
from .infinite import StatelessSampler
from .request import SampleRequest


@DATA_SAMPLERS.register_module()
class RareClassSampler(StatelessSampler):
    """Draws a class, rare ones more often, then an image that shows it.

    P(c) = softmax over classes of (1 - f_c) / temperature, f_c the class's share of all labeled
    pixels; the image is uniform among those with more than ``min_pixels`` pixels of the class in
    the full-size label. The class travels to :class:`RareClassCrop` as ``wanted_class``.

    A class that has pixels but no image with enough of them takes part in the softmax and is then
    left out: its probability goes to the others in proportion, and a warning names it (the official
    code stops there).

    Memory: one int32 per (image, class it shows).

    Args:
        dataset: The (wrapped) labeled dataset.
        seed: See :class:`StatelessSampler`.
        temperature: T of the softmax, > 0; ``float('inf')`` makes all classes equally likely.
        min_pixels: See above, >= 0.
        class_statistics: None: counted, or read from the cache, by
            :func:`mmseg_dg.datasets.class_statistics`. A dict: options for it, e.g.
            ``dict(cache_dir='...', num_workers=8)``. A path: the official
            ``sample_class_stats.json``. Or a ready :class:`ClassStatistics` with one row per sample
            of ``dataset``.

    Raises:
        ValueError: Statistics of another dataset, a bad argument, or no image has enough pixels of
            any class.
    """
    def __init__(self, dataset: Sized, seed: Optional[int] = None, temperature: float = 0.01,
                 min_pixels: int = 3000, class_statistics: Union[None, dict, str,
                                                                 ClassStatistics] = None) -> None:
        super().__init__(dataset, seed)
        if not temperature > 0:
            raise ValueError(f'RareClassSampler: temperature must be > 0, got {temperature}')
        if min_pixels < 0:
            raise ValueError(f'RareClassSampler: min_pixels must be >= 0, got {min_pixels}')
        self.temperature, self.min_pixels = temperature, min_pixels
        statistics = _statistics_of(dataset, class_statistics)
        if len(statistics.pixel_counts) != self.size:
            raise ValueError('RareClassSampler: the class statistics have '
                             f'{len(statistics.pixel_counts)} rows, the dataset has {self.size} '
                             'samples; they belong to different data')
        self._prepare(statistics)

    def _prepare(self, statistics: ClassStatistics) -> None:
        """Set ``classes`` (ids), their ``probabilities`` and ``_images`` (for each class the int32
        indices of the images that show enough of it); classes without such images are left out,
        with a warning.
        """
        # ids of the classes that have pixels, rarest first, and their softmax
        classes, probabilities = rare_class_probabilities(np.asarray(statistics.totals),
                                                          self.temperature)
        classes = np.asarray(classes, dtype=np.int64)
        images = images_with_class(statistics.pixel_counts, classes, self.min_pixels)
        usable = np.array([len(found) > 0 for found in images], dtype=bool)
        if not usable.any():
            raise ValueError('RareClassSampler: no image has more than '
                             f'min_pixels={self.min_pixels} pixels of any class; lower min_pixels '
                             '(it counts pixels of the full-size label)')
        if not usable.all():
            names = statistics.class_names
            dropped = [names[c] if names else str(c) for c in classes[~usable]]
            print_log(
                f'rare class sampling: no image has more than {self.min_pixels} pixels of '
                f'{", ".join(dropped)}; these classes are never asked for (lower min_pixels to '
                'include them)', logger='current', level=logging.WARNING)
        self.classes = classes[usable]
        kept = np.asarray(probabilities, dtype=np.float64)[usable]
        if kept.sum() <= 0:  # T so small that the dropped classes had all of the probability
            kept = np.ones_like(kept)
        self.probabilities = kept / kept.sum()
        self._cumulative = np.cumsum(self.probabilities)  # request() looks a random number up in it
        self._cumulative[-1] = 1.0  # rounding must leave no gap at the end
        self._images: list[np.ndarray] = [found for found, ok in zip(images, usable) if ok]

    def request(self, draw: int) -> SampleRequest:
        """The sample of draw number ``draw``: first a class, rare ones more often, then an image
        that shows it.
        """
        generator = np.random.Generator(np.random.PCG64(derive_seed(self.seed, 'rare class', draw)))
        # a uniform number in [0, 1) falls into the interval of a class with its probability
        place = int(np.searchsorted(self._cumulative, generator.random(), side='right'))
        images = self._images[place]
        index = int(images[generator.integers(len(images))])
        return SampleRequest(index, self._sample_seed(draw), int(self.classes[place]))


def images_with_class(pixel_counts: np.ndarray, classes: np.ndarray,
                      min_pixels: int) -> list[np.ndarray]:
    """For each class the images (int32 indices, ascending) with more than ``min_pixels`` of its
    pixels.
    """
    return [
        np.flatnonzero(np.asarray(pixel_counts[:, c]) > min_pixels).astype(np.int32)
        for c in classes
    ]


def _statistics_of(dataset: Sized, statistics: Union[None, dict, str,
                                                     ClassStatistics]) -> ClassStatistics:
    """Class statistics from what a config gives: they themselves, the path of a statistics file of
    the official code, or arguments for counting (None: none); TypeError for anything else.
    """
    if isinstance(statistics, ClassStatistics):
        return statistics
    if isinstance(statistics, str):
        return from_official_json(statistics, dataset)
    if statistics is None or isinstance(statistics, dict):
        return class_statistics(dataset, **(statistics or {}))
    raise TypeError(
        'RareClassSampler: class_statistics must be None, a dict of options, the path '
        f'of a sample_class_stats.json or a ClassStatistics, got {type(statistics).__name__}')
