"""Mean and standard deviation of every channel of a dataset's images, for the data preprocessor.

Shapes: N pixels, C channels, H x W pixels.
"""
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class ChannelStatistics(NamedTuple):
    """Of all pixels of some images, per channel, in the values a pipeline loads (0..255).

    Attributes:
        mean: Of each channel.
        std: Standard deviation of each channel.
        images: How many there were.
        pixels: Of all images together.
    """
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: int
    pixels: int

    @property
    def text(self) -> str:
        """The lines of a config that set them, with the numbers of images and pixels as comment."""
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
    pixels_before, num_images = 0, 0
    # of each channel: the running mean, and the sum of squared deviations from it
    mean = squares = np.zeros(0)
    for image in images:
        pixels = np.asarray(image, np.float64).reshape(-1, image.shape[2])  # (H, W, C) -> (N, C)
        if not num_images:
            mean, squares = np.zeros(image.shape[2]), np.zeros(image.shape[2])
        if len(mean) != image.shape[2]:
            raise ValueError(
                f'image {num_images} has {image.shape[2]} channels, those before it {len(mean)}')
        # two sets of pixels are merged as in Chan et al.: no cancellation over many images
        image_mean = pixels.mean(0)
        total = pixels_before + len(pixels)
        inside = ((pixels - image_mean)**2).sum(0)
        between = (image_mean - mean)**2 * (pixels_before * len(pixels) / total)
        squares += inside + between
        mean = mean + (image_mean - mean) * (len(pixels) / total)
        pixels_before, num_images = total, num_images + 1
    if not num_images:
        raise ValueError('no images: statistics need at least one')
    std = np.sqrt(squares / pixels_before)
    return ChannelStatistics(tuple(mean.tolist()), tuple(std.tolist()), num_images, pixels_before)
