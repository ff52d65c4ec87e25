"""Color jitter and blur of single samples, made of PIL's and OpenCV's own operations.

Shapes: C channels, H x W pixels.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageEnhance

from mmseg_dg.registry import TRANSFORMS

_OPERATIONS = ('brightness', 'contrast', 'saturation', 'hue')


class JitterParameters(NamedTuple):
    """What one jitter does.

    Attributes:
        brightness: Factor, 1 changes nothing; likewise contrast and saturation.
        contrast: See ``brightness``.
        saturation: See ``brightness``.
        hue: Shift as a share of the color circle, in [-0.5, 0.5].
        order: The operations in the order they are applied.
    """
    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: tuple[str, ...] = _OPERATIONS


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue by random amounts in random order, some of
    the time.

    The amounts mean what they mean in torchvision's ``ColorJitter`` on PIL images: the first three
    factors are uniform in [max(0, 1 - a), 1 + a], the hue shift in [-hue, hue]. Reads and replaces
    ``img`` uint8 (H, W, 3) BGR (of more channels, the first three are red, green and blue, and only
    they change); draws from numpy's global generator. DeFT: (0.4, 0.4, 0.4, 0.1) with probability
    0.5 (docs/behavior/deft.md#data-pipeline).

    Args:
        brightness: Amount a >= 0; likewise contrast and saturation.
        contrast: See ``brightness``.
        saturation: See ``brightness``.
        hue: In [0, 0.5].
        prob: Probability of any change, in [0, 1].

    Raises:
        ValueError: An argument out of range.
    """
    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0,
                 hue: float = 0.0, prob: float = 1.0) -> None:
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            raise ValueError('ColorJitter: amounts must be >= 0 and hue at most 0.5, got '
                             f'{(brightness, contrast, saturation, hue)}')
        if not 0 <= prob <= 1:
            raise ValueError(f'ColorJitter: prob must lie in [0, 1], got {prob}')
        self.amounts, self.prob = (brightness, contrast, saturation, hue), prob

    def draw(self) -> JitterParameters:
        """Random parameters, drawn from numpy's global generator in this order: brightness,
        contrast, saturation, hue, order of the operations.
        """
        brightness, contrast, saturation = (float(np.random.uniform(max(0.0, 1 - a), 1 + a))
                                            for a in self.amounts[:3])
        shift = float(np.random.uniform(-self.amounts[3], self.amounts[3]))
        return JitterParameters(brightness=brightness, contrast=contrast, saturation=saturation,
                                hue=shift,
                                order=tuple(_OPERATIONS[i] for i in np.random.permutation(4)))

    def transform(self, results: dict) -> dict:
        """Jitter the image with probability ``prob``."""
        if np.random.random_sample() < self.prob:
            results['img'] = jitter(results['img'], self.draw())
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(amounts={self.amounts}, prob={self.prob})'


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blur by a Gaussian of random width, some of the time.

    Reads and replaces ``img`` uint8 (H, W, 3); draws from numpy's global generator. DeFT: sigma
    uniform in [0.15, 1.30], every time (docs/behavior/deft.md#data-pipeline).

    Args:
        sigma: Smallest and largest standard deviation in pixels.
        prob: Probability of blurring, in [0, 1].

    Raises:
        ValueError: An argument out of range.
    """
    def __init__(self, sigma: Sequence[float] = (0.15, 1.3), prob: float = 1.0) -> None:
        self.sigma = tuple(float(s) for s in sigma)
        if len(self.sigma) != 2 or not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f'RandomGaussianBlur: sigma is (smallest, largest) > 0, got {sigma}')
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomGaussianBlur: prob must lie in [0, 1], got {prob}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Blur the image with probability ``prob``."""
        if np.random.random_sample() < self.prob:
            sigma = float(np.random.uniform(self.sigma[0], self.sigma[1]))
            results['img'] = gaussian_blur(results['img'], sigma)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(sigma={self.sigma}, prob={self.prob})'


def jitter(image: np.ndarray, parameters: JitterParameters) -> np.ndarray:
    """Apply drawn parameters to ``image`` uint8 (H, W, 3) BGR, or to the first three (RGB) of more
    channels (:class:`LoadImageStack`); returns a new array of the same shape and order.
    """
    if image.shape[2] > 3:
        colors = jitter(image[..., 2::-1], parameters)  # channels 2, 1, 0: the first three as BGR
        return np.concatenate([colors[..., ::-1], image[..., 3:]], axis=2)
    picture = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))  # PIL has RGB
    for name in parameters.order:
        value = parameters._asdict()[name]
        if name == 'brightness':
            picture = ImageEnhance.Brightness(picture).enhance(value)
        elif name == 'contrast':
            picture = ImageEnhance.Contrast(picture).enhance(value)
        elif name == 'saturation':
            picture = ImageEnhance.Color(picture).enhance(value)
        elif value:  # hue; a shift of 0 is passed over: the way through HSV would round colors
            picture = _shift_hue(picture, value)
    return np.ascontiguousarray(np.asarray(picture)[..., ::-1])


def _shift_hue(picture: Image.Image, shift: float) -> Image.Image:
    """An RGB picture with its hues turned by ``shift`` of the color circle, in [-0.5, 0.5]."""
    hue, saturation, value = picture.convert('HSV').split()
    # PIL's circle has 256 steps; a factor of 255, rounded toward 0, is torchvision's
    moved = (np.asarray(hue, np.int16) + int(shift * 255)) % 256
    return Image.merge('HSV',
                       (Image.fromarray(moved.astype(np.uint8)), saturation, value)).convert('RGB')


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """``image`` uint8 (H, W, C) under a Gaussian cut off at four standard deviations, edges
    repeated.
    """
    side = 2 * math.ceil(4 * sigma) + 1  # odd: the kernel has a middle
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
