"""Mean and standard deviation of every channel of a dataset's images, for the data preprocessor.

Shapes: N pixels, C channels, H x W pixels.
"""
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class ChannelStatistics(NamedTuple):
    """Of all pixels of some images, per channel, in the values a pipeline loads (0..255)."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: int
    pixels: int

    @property
    def text(self) -> str:
        """The lines of a config."""
        mean, std = (', '.join(f'{v:.3f}' for v in values) for values in (self.mean, self.std))
        return (
            f'data_preprocessor=dict(\n    mean=[{mean}],\n    std=[{std}],\n    bgr_to_rgb=False)'
            f'  # {self.images} images, {self.pixels} pixels')


def channel_statistics(images: Iterable[np.ndarray]) -> ChannelStatistics:
    """Mean and standard deviation (of the population) of every channel, one image in memory at a
    time.

    Args:
        images: Arrays (H, W, C) of one number of channels, any sizes, whole numbers or numbers with
            a point.

    Returns:
        Mean and deviation of each channel, and the numbers of images and pixels.

    Raises:
        ValueError: No images, or another number of channels than the first has.
    """
    count, number = 0, 0
    mean = squares = np.zeros(0)
    for image in images:
        pixels = np.asarray(image, np.float64).reshape(-1, image.shape[2])  # (H, W, C) -> (N, C)
        if not number:
            mean, squares = np.zeros(image.shape[2]), np.zeros(image.shape[2])
        if len(mean) != image.shape[2]:
            raise ValueError(
                f'image {number} has {image.shape[2]} channels, those before it {len(mean)}')
        # sums of squares about the running mean (Chan et al.): no cancellation over many images
        own = pixels.mean(0)
        total = count + len(pixels)
        squares += ((pixels - own)**2).sum(0) + (own - mean)**2 * (count * len(pixels) / total)
        mean = mean + (own - mean) * (len(pixels) / total)
        count, number = total, number + 1
    if not number:
        raise ValueError('no images: statistics need at least one')
    return ChannelStatistics(tuple(mean.tolist()), tuple(np.sqrt(squares / count).tolist()), number,
                             count)
