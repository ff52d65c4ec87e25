"""Strong views of semi-supervised training: color jitter, grayscale and blur of one weakly
augmented image.

Parameters as UniMatch and FixMatch use them (docs/behavior/unimatch.md#unimatch-data-pipeline). The
maths is kornia's, with the meaning the operations have in Pillow and torchvision (brightness
multiplies, contrast and saturation blend with gray); Pillow rounds to 8 bits after every operation,
this does not.

Shapes: C channels, H x W pixels.
"""
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmseg_dg.ops.pairs import pair

from .blur import gaussian_blur


class StrongJitter(NamedTuple):
    """Drawn parameters of one color jitter.

    Attributes:
        brightness: Factor on the image, >= 0.
        contrast: Factor on the difference from the image's mean gray, >= 0.
        saturation: Factor on the difference from the pixel's gray, >= 0.
        hue: Shift in turns, in [-0.5, 0.5].
        order: Permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue; the first is applied
            first.
    """
    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: tuple[int, ...]


class StrongView(NamedTuple):
    """Drawn parameters of one strong view of one image.

    Attributes:
        jitter: Color jitter, or None for none.
        grayscale: Whether colors are taken away.
        sigma: Standard deviation of the blur in pixels, or None for none.
    """
    jitter: StrongJitter | None = None
    grayscale: bool = False
    sigma: float | None = None


def draw_strong_view(
    rng: np.random.RandomState, brightness: float = 0.5, contrast: float = 0.5,
    saturation: float = 0.5, hue: float = 0.25, jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2, blur_probability: float = 0.5,
    blur_sigma: tuple[float, float] = (0.1, 2.0)) -> StrongView:
    """Draw the parameters of one strong view; the defaults are UniMatch's.

    Args:
        rng: :class:`numpy.random.RandomState`. It is asked for the same number of values whatever
            comes out, so that one decision does not shift the next image's.
        brightness: The factor is uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: Likewise.
        saturation: Likewise.
        hue: The shift is uniform in [-hue, hue] turns; at most 0.5.
        jitter_probability: Of the color jitter as a whole.
        grayscale_probability: Of taking the colors away.
        blur_probability: Of the blur.
        blur_sigma: The standard deviation is uniform between these, in pixels (Pillow's
            ``radius``).

    Raises:
        ValueError: A range or probability that has no meaning.
    """
    check_strong_view(brightness, contrast, saturation, hue, jitter_probability,
                      grayscale_probability, blur_probability, blur_sigma)
    order = tuple(int(i) for i in rng.permutation(4))
    bright, contrasted, saturated = (float(rng.uniform(max(0.0, 1 - r), 1 + r))
                                     for r in (brightness, contrast, saturation))
    shift = float(rng.uniform(-hue, hue))
    sigma = float(rng.uniform(*blur_sigma))
    # drawn whatever is switched off, so that one setting does not move the others' draws
    chances = rng.uniform(size=3)
    jitter = StrongJitter(brightness=bright, contrast=contrasted, saturation=saturated, hue=shift,
                          order=order)
    return StrongView(jitter=jitter if chances[0] < jitter_probability else None,
                      grayscale=bool(chances[1] < grayscale_probability),
                      sigma=sigma if chances[2] < blur_probability else None)


def check_strong_view(
    brightness: float = 0.5, contrast: float = 0.5, saturation: float = 0.5, hue: float = 0.25,
    jitter_probability: float = 0.8, grayscale_probability: float = 0.2,
    blur_probability: float = 0.5, blur_sigma: tuple[float, float] = (0.1, 2.0)) -> None:
    """Raise ValueError for arguments of :func:`draw_strong_view` that have no meaning."""
    amounts = dict(brightness=brightness, contrast=contrast, saturation=saturation)
    for name, value in amounts.items():
        if value < 0:
            raise ValueError(f'{name} is the half-width of a range of factors and not negative, '
                             f'got {value}')
    if not 0 <= hue <= 0.5:
        raise ValueError(f'hue is a shift in turns, in [0, 0.5], got {hue}')
    chances = dict(jitter_probability=jitter_probability,
                   grayscale_probability=grayscale_probability, blur_probability=blur_probability)
    for name, value in chances.items():
        if not 0 <= value <= 1:
            raise ValueError(f'{name} must lie in [0, 1], got {value}')
    if len(blur_sigma) != 2 or not 0 < blur_sigma[0] <= blur_sigma[1]:
        raise ValueError('blur_sigma is (lowest, highest) in pixels, both positive, got '
                         f'{blur_sigma}')


def apply_strong_view(image: Tensor, view: StrongView) -> Tensor:
    """Apply one strong view: jitter, then grayscale, then blur.

    Args:
        image: Floating point (C, H, W), RGB in [0, 1] first; further channels are blurred alone.
        view: Drawn parameters.

    Returns:
        (C, H, W) of the same dtype, in [0, 1]; the input is not modified.

    Raises:
        ValueError: Wrong shape or dtype, or an order that is no permutation.
    """
    if image.dim() != 3 or image.shape[0] < 3 or not image.is_floating_point():
        raise ValueError(f'image must be floating point (3, H, W), got {tuple(image.shape)} '
                         f'{image.dtype}')
    colors, others = (image, image[3:]) if len(image) == 3 else (image[:3], image[3:])
    if view.jitter is not None:
        colors = _jitter(colors, view.jitter)
    if view.grayscale:
        from kornia.color import rgb_to_grayscale
        colors = rgb_to_grayscale(colors).expand_as(colors)
    image = torch.cat([colors, others]) if len(others) else colors
    if view.sigma is not None:
        image = gaussian_blur(image.unsqueeze(0), view.sigma,
                              _blur_kernel(view.sigma, pair(image.shape[-2:]))).squeeze(0)
    return image


def _jitter(image: Tensor, jitter: StrongJitter) -> Tensor:
    """The four adjustments (0 brightness, 1 contrast, 2 saturation, 3 hue) on an image (3, H, W)
    in the drawn order.
    """
    from kornia import enhance  # takes seconds to import, and most methods do not need it
    if sorted(jitter.order) != [0, 1, 2, 3]:
        raise ValueError(f'order must be a permutation of (0, 1, 2, 3), got {jitter.order}')
    steps = (
        lambda x: enhance.adjust_brightness_accumulative(x, jitter.brightness),
        lambda x: enhance.adjust_contrast_with_mean_subtraction(x, jitter.contrast),
        lambda x: enhance.adjust_saturation_with_gray_subtraction(x, jitter.saturation),
        lambda x: enhance.adjust_hue(x, 2 * math.pi * jitter.hue),
    )
    for index in jitter.order:
        image = steps[index](image)
    return image


def _blur_kernel(sigma: float, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a kernel that reaches four sigma, as far as the image can be reflected."""
    reach = math.ceil(4 * sigma)
    height, width = (2 * min(reach, side - 1) + 1 for side in size)
    return height, width
