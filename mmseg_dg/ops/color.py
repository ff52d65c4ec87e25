"""Color jitter with recorded parameters, and the step between normalized and [0, 1] images.

The jitter follows kornia 0.5.8, which the official DAFormer/HRDA training uses; later kornia
releases changed both the formulas and the order of the draws, hence an implementation of our own
(docs/behavior/daformer_hrda.md#class-mix-jitter-and-blur).

Shapes: C channels, H x W pixels.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Union

import torch
from torch import Tensor

from .precision import at_least_float32

ChannelValues = Union[Sequence[float], Tensor]
HSV_EPS = 1e-6  # keeps the saturation of black pixels finite; part of the numbers to be reproduced


class JitterParams(NamedTuple):
    """Drawn parameters of one color jitter.

    Attributes:
        brightness: ``brightness - 1`` is added to the image.
        contrast: Factor on the image.
        saturation: Factor on the saturation of HSV.
        hue: Shift in turns; 0.5 is the opposite color.
        order: Permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue; the first entry is
            applied first.
    """
    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: tuple[int, int, int, int]


def draw_jitter_params(generator: torch.Generator, strength: float = 0.2) -> JitterParams:
    """Draw the parameters of one image: factors from U(1 - s, 1 + s), hue from U(-s, s), and a
    random order.

    Args:
        generator: A CPU generator seeded with k repeats the official draws after
            ``torch.manual_seed(k)``: four float32 uniforms (brightness, contrast, hue, saturation),
            then a permutation of four.
        strength: s, in [0, 0.5] (a hue shift beyond half a turn has no meaning).

    Returns:
        Plain Python numbers.

    Raises:
        ValueError: ``strength`` out of range.
    """
    if not 0 <= strength <= 0.5:
        raise ValueError(f'strength must lie in [0, 0.5], got {strength}')

    def uniform(center: float) -> float:
        """A number from U(center - strength, center + strength)."""
        # In float32 throughout: the same bits as the recorded draws.
        low, high = torch.tensor([center - strength, center + strength], dtype=torch.float32)
        unit = torch.rand(1, generator=generator, device=generator.device).cpu()
        return (low + unit * (high - low)).item()

    brightness, contrast, hue, saturation = uniform(1.), uniform(1.), uniform(0.), uniform(1.)
    order = torch.randperm(4, generator=generator, device=generator.device).tolist()
    return JitterParams(brightness, contrast, saturation, hue, tuple(order))


def color_jitter(image: Tensor, params: JitterParams) -> Tensor:
    """Apply brightness, contrast, saturation and hue in the drawn order.

    Brightness adds ``b - 1`` and contrast multiplies by ``c``, both then clamp to [0, 1];
    saturation multiplies S of HSV and clamps it; hue adds ``2 pi h`` to H. Values outside [0, 1]
    (resampling overshoots, for instance) are cut by the clamping steps only. Half precision is
    computed in float32 and cast back.

    Args:
        image: Floating point (3, H, W) or (..., 3, H, W), RGB in [0, 1]; channels after the third
            are left as they are.
        params: What to apply, the same for all images of a batch.

    Returns:
        Same shape and dtype; the input is not modified.

    Raises:
        ValueError: Wrong shape or dtype, or ``params.order`` is not a permutation of 0..3.
    """
    _check_image(image, at_least=True)
    if sorted(params.order) != [0, 1, 2, 3]:
        raise ValueError(f'order must be a permutation of (0, 1, 2, 3), got {params.order}')
    if image.shape[-3] > 3:
        colors, others = image.split((3, image.shape[-3] - 3), dim=-3)
        return torch.cat([color_jitter(colors, params), others], dim=-3)
    out = at_least_float32(image)
    steps = ((_shift_brightness, params.brightness), (_scale_contrast, params.contrast),
             (_scale_saturation, params.saturation), (_shift_hue, params.hue))
    for index in params.order:
        function, amount = steps[index]
        out = function(out, amount)
    return out.to(image.dtype)


def _shift_brightness(image: Tensor, factor: float) -> Tensor:
    """RGB (..., 3, H, W) with ``factor - 1`` added, cut to [0, 1]."""
    return (image + (factor - 1)).clamp(0, 1)


def _scale_contrast(image: Tensor, factor: float) -> Tensor:
    """RGB (..., 3, H, W) times ``factor``, cut to [0, 1]; black stays, not the mean."""
    return (image * factor).clamp(0, 1)


def _scale_saturation(image: Tensor, factor: float) -> Tensor:
    """RGB (..., 3, H, W) with the saturation of HSV times ``factor``, at most 1."""
    hue, saturation, value = rgb_to_hsv(image).unbind(-3)
    return hsv_to_rgb(torch.stack((hue, (saturation * factor).clamp(0, 1), value), -3))


def _shift_hue(image: Tensor, turns: float) -> Tensor:
    """RGB (..., 3, H, W) with the hue moved by ``turns`` around the circle of colors."""
    hue, saturation, value = rgb_to_hsv(image).unbind(-3)
    # fmod, as kornia: hsv_to_rgb takes a negative hue, too
    hue = torch.fmod(hue + 2 * math.pi * turns, 2 * math.pi)
    return hsv_to_rgb(torch.stack((hue, saturation, value), -3))


def rgb_to_hsv(image: Tensor) -> Tensor:
    """Convert RGB to HSV.

    Args:
        image: Floating point (..., 3, H, W), RGB in [0, 1].

    Returns:
        Same shape; H in radians [0, 2 pi), S = (max - min) / (max + 1e-6), V = max. Gray pixels
        have H = 0.

    Raises:
        ValueError: Wrong shape or dtype.
    """
    _check_image(image)
    red, green, blue = image.unbind(-3)
    value = image.amax(-3)
    chroma = value - image.amin(-3)
    saturation = chroma / (value + HSV_EPS)
    chroma = chroma.masked_fill(chroma == 0, 1)
    # The first channel that reaches the maximum decides; for gray pixels this gives hue 0.
    sextant = torch.where(
        red == value, (green - blue) / chroma,
        torch.where(green == value, 2 + (blue - red) / chroma, 4 + (red - green) / chroma))
    hue = 2 * math.pi * torch.remainder(sextant / 6, 1)
    return torch.stack((hue, saturation, value), -3)


def hsv_to_rgb(image: Tensor) -> Tensor:
    """Convert HSV to RGB.

    Args:
        image: Floating point (..., 3, H, W): H in radians (any value, taken modulo 2 pi), S and V
            in [0, 1].

    Returns:
        Same shape, RGB in [0, 1].

    Raises:
        ValueError: Wrong shape or dtype.
    """
    _check_image(image)
    hue, saturation, value = image.unbind(-3)
    sextant = hue * (3 / math.pi)  # 0 to 6 around the circle
    chroma = value * saturation
    channels = []
    # red, green, blue: each falls from V to V - chroma over one sextant, stays there for two, rises
    # over one and stays at V for two; the three are the same trapezoid, shifted by two sextants
    for offset in (5, 3, 1):
        distance = torch.remainder(sextant + offset, 6)
        channels.append(value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, -3)


def denormalize(image: Tensor, mean: ChannelValues, std: ChannelValues) -> Tensor:
    """Turn a normalized image into one in [0, 1]: ``(image * std + mean) / 255``, without clamping.

    Args:
        image: Floating point (..., C, H, W), at least 3 channels.
        mean: C values in units of 0..255, in the channel order of the image.
        std: C values in units of 0..255.

    Returns:
        Same shape and dtype.

    Raises:
        ValueError: Wrong shape or dtype, or mean or std are not C values.
    """
    _check_image(image, at_least=True)
    return (image * _per_channel(std, 'std', image) + _per_channel(mean, 'mean', image)) / 255


def normalize(image: Tensor, mean: ChannelValues, std: ChannelValues) -> Tensor:
    """Inverse of :func:`denormalize`: ``(image * 255 - mean) / std``.

    Args:
        image: Floating point (..., C, H, W) in [0, 1], at least 3 channels.
        mean: C values in units of 0..255, in the channel order of the image.
        std: C values in units of 0..255, none of them 0.

    Returns:
        Same shape and dtype.

    Raises:
        ValueError: Wrong shape or dtype, or mean or std are not C values.
    """
    _check_image(image, at_least=True)
    return (image * 255 - _per_channel(mean, 'mean', image)) / _per_channel(std, 'std', image)


def _check_image(image: Tensor, at_least: bool = False) -> None:
    """Refuse what is no float image (..., 3, H, W); ``at_least``: more channels may follow."""
    if image.dim() < 3 or image.shape[-3] < 3 or (image.shape[-3] > 3 and not at_least):
        raise ValueError(f'image must be (..., 3, H, W), got {tuple(image.shape)}')
    if not image.is_floating_point():
        raise ValueError(f'image must be floating point, got {image.dtype}')


def _per_channel(values: ChannelValues, name: str, image: Tensor) -> Tensor:
    """One value per channel as (C, 1, 1), of the image's dtype and on its device; a single value
    is for all channels. ValueError, which has ``name``, for another number of values.
    """
    tensor = torch.as_tensor(values, dtype=image.dtype, device=image.device).flatten()  # (C,)
    if tensor.numel() not in (1, image.shape[-3]):
        raise ValueError(f'{name} must hold {image.shape[-3]} values, got {tensor.numel()}')
    return tensor.expand(image.shape[-3]).view(-1, 1, 1)  # (C, 1, 1), against (..., C, H, W)
