"""Random style of an image: its color statistics in LAB space replaced by drawn ones, and a little
noise.

Shapes: B images, H x W pixels.
"""
from typing import NamedTuple

import torch
from torch import Tensor

from .noise import seeded_noise
from .style import restyle


class LABStyleDraws(NamedTuple):
    """Random decisions of a batch.

    Attributes:
        mean: New mean per image and channel, (B, 3) in [0, 1].
        std: New standard deviation, (B, 3) in [0, 1].
        noise_seed: Seed of the noise.
    """
    mean: Tensor
    std: Tensor
    noise_seed: int


def draw_lab_style(
    count: int, generator: torch.Generator, mean: tuple[float, float] = (0.2, 0.8),
    std: tuple[float, float] = (0.1, 0.4)
) -> LABStyleDraws:
    """Draw the statistics of ``count`` images uniformly.

    Args:
        count: B.
        generator: CPU generator.
        mean: Range of the means, in scaled LAB units [0, 1].
        std: Range of the standard deviations, in these units.

    Returns:
        Means and standard deviations, float32 (B, 3) each, and the seed of the noise.
    """
    means = torch.empty(count, 3).uniform_(*mean, generator=generator)
    stds = torch.empty(count, 3).uniform_(*std, generator=generator)
    return LABStyleDraws(means, stds, int(torch.randint(2**31, (), generator=generator)))


def rgb_to_unit_lab(images: Tensor) -> Tensor:
    """RGB in [0, 1] to LAB with every channel scaled to about [0, 1]: L/100, (a + 128)/255, (b +
    128)/255.

    Args:
        images: Floating point (B, 3, H, W).

    Returns:
        (B, 3, H, W): lightness, green to red, blue to yellow.
    """
    # kornia takes seconds to import, and most methods do not need it
    from kornia.color import rgb_to_lab
    lightness, green_red, blue_yellow = rgb_to_lab(images).unbind(1)
    return torch.stack((lightness / 100, (green_red + 128) / 255, (blue_yellow + 128) / 255), 1)


def unit_lab_to_rgb(lab: Tensor) -> Tensor:
    """Inverse of :func:`rgb_to_unit_lab`, (B, 3, H, W); colors outside RGB are clipped to [0,
    1].
    """
    from kornia.color import lab_to_rgb
    lightness, green_red, blue_yellow = lab.unbind(1)
    return lab_to_rgb(
        torch.stack((lightness * 100, green_red * 255 - 128, blue_yellow * 255 - 128), 1))


@torch.no_grad()
def lab_style(images: Tensor, draws: LABStyleDraws, noise: float = 0.01) -> Tensor:
    """Give images other color statistics: standardize each LAB channel, rescale, add noise, clamp,
    back to RGB.

    Source: docs/behavior/deft.md#restyled-copies (style augmentation of the released scripts).

    Args:
        images: RGB in [0, 1], float32 or float64 (B, 3, H, W).
        draws: Result of :func:`draw_lab_style` for B images.
        noise: Standard deviation of the noise in scaled LAB units; drawn on the images' device.

    Returns:
        Like ``images``, in [0, 1].

    Raises:
        ValueError: Draws for another number of images, or half precision.
    """
    if images.dtype not in (torch.float32, torch.float64):
        raise ValueError(f'LAB needs float32 or float64 images, got {images.dtype}')
    if draws.mean.shape != images.shape[:2]:
        raise ValueError(f'draws for {len(draws.mean)} images, but the batch has shape '
                         f'{tuple(images.shape)}')
    styled = restyle(rgb_to_unit_lab(images), draws.mean.to(images), draws.std.to(images))
    if noise:
        styled = styled + noise * seeded_noise(styled, draws.noise_seed, styled.dtype)
    return unit_lab_to_rgb(styled.clamp(0, 1))
