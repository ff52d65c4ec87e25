"""Noise of denoising pretraining: adding it, taking it away again, and how well that went.

Source: docs/behavior/ddep.md#objective (Brempong et al., TMLR 2022 and CVPR workshops 2022). Images
are on the scale [-1, 1], noise is standard normal.

Shapes: B images, C channels, H x W pixels.
"""
import math
from collections.abc import Sequence
from typing import Union

import torch
from torch import Tensor

#: How noise enters an image: ``simple`` x + sigma e, ``scaled`` sqrt(gamma) x + sqrt(1 - gamma) e.
NOISE_FORMS = ('simple', 'scaled')
#: What the network predicts.
TARGETS = ('noise', 'image')
#: Largest possible difference of two pixels on the scale [-1, 1].
PEAK_TO_PEAK = 2.0
SIGMA_ADVICE = ('give a number (the paper: 0.22) or (lowest, highest) in this order; it must not '
                'be negative')


def check_noise(form: str, sigma: Union[float, Sequence[float]]) -> tuple[float, float]:
    """Lowest and highest sigma of a noise setting, after a check.

    Args:
        form: One of :data:`NOISE_FORMS`.
        sigma: Standard deviation relative to the image's scale, or (lowest, highest) to draw
            uniformly between.

    Raises:
        ValueError: Unknown form, a negative or infinite sigma, or an interval upside down.
    """
    if form not in NOISE_FORMS:
        raise ValueError(f'noise form must be one of {", ".join(NOISE_FORMS)}, got {form!r}')
    values = tuple(sigma) if isinstance(sigma, (list, tuple)) else (sigma, sigma)
    if len(values) != 2 or not all(
            isinstance(v, (int, float)) and math.isfinite(v) for v in values):
        raise ValueError(f'noise.sigma={sigma!r}: {SIGMA_ADVICE}')
    low, high = (float(v) for v in values)
    if low < 0 or high < low:
        raise ValueError(f'noise.sigma={sigma!r}: {SIGMA_ADVICE}')
    return low, high


def noise_gamma(sigma: Tensor) -> Tensor:
    """``gamma = 1 / (1 + sigma^2)``: share of the clean image's power in a scaled noisy image; any
    shape, kept.

    With it ``(x + sigma e) / sqrt(1 + sigma^2) = sqrt(gamma) x + sqrt(1 - gamma) e``
    (docs/behavior/ddep.md#objective).
    """
    return 1.0 / (1.0 + sigma.square())


def draw_sigma(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """One sigma per image, (count,) float32: uniform in [low, high]; nothing is drawn where both
    are equal.
    """
    if low == high:
        return torch.full((count, ), low)
    return low + (high - low) * torch.rand(count, generator=generator)


def add_noise(images: Tensor, noise: Tensor, sigma: Tensor, form: str = 'scaled') -> Tensor:
    """Noisy images.

    Args:
        images: (B, C, H, W) on the scale [-1, 1].
        noise: Standard normal, same size.
        sigma: (B,), 0 or more.
        form: ``simple``: x + sigma e. ``scaled``: sqrt(gamma) x + sqrt(1 - gamma) e with
            :func:`noise_gamma`.

    Returns:
        Same size as ``images``; not clipped.
    """
    check_noise(form, 0.0)  # for the form; sigma was checked where it was set
    _check_sizes(images, noise, sigma)
    sigma = _per_image(sigma, images)
    noisy = images + sigma * noise
    return noisy if form == 'simple' else noisy * noise_gamma(sigma).sqrt()


def clean_estimate(noisy: Tensor, noise: Tensor, sigma: Tensor, form: str = 'scaled') -> Tensor:
    """The image that :func:`add_noise` made ``noisy`` from, if ``noise`` was the noise; all three
    are (B, C, H, W), ``sigma`` is (B,).

    ``scaled``: (noisy - sqrt(1 - gamma) e) / sqrt(gamma); with e = 0 it is the noisy image on the
    image's own scale, which is what the denoised image is compared with.
    """
    check_noise(form, 0.0)  # for the form; sigma was checked where it was set
    _check_sizes(noisy, noise, sigma)
    sigma = _per_image(sigma, noisy)
    scale = 1.0 if form == 'simple' else noise_gamma(sigma).sqrt()
    # sqrt(1 - gamma) / sqrt(gamma) is sigma
    return noisy / scale - sigma * noise


def psnr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, (B,) float32: ``10 log10(2^2 / mean squared
    error)``.

    Args:
        estimate, clean: (B, C, H, W) on the scale [-1, 1] (peak to peak 2); the estimate is not
            clipped. Equal images give infinity.
    """
    if estimate.shape != clean.shape:
        raise ValueError(f'psnr compares images of one size, got {tuple(estimate.shape)} and '
                         f'{tuple(clean.shape)}')
    error = (estimate.float() - clean.float()).square().flatten(1).mean(1)  # (B, C, H, W) -> (B,)
    return 10.0 * torch.log10(PEAK_TO_PEAK**2 / error)


def _per_image(sigma: Tensor, like: Tensor) -> Tensor:
    """One number per image, shaped to multiply images, of the type and device of ``like``."""
    return sigma.to(device=like.device, dtype=like.dtype).view(-1, 1, 1, 1)  # (B,) -> (B, 1, 1, 1)


def _check_sizes(images: Tensor, noise: Tensor, sigma: Tensor) -> None:
    """Refuse (ValueError) what is not images and noise of one size and one sigma per image."""
    if images.dim() != 4 or images.shape != noise.shape or sigma.shape != images.shape[:1]:
        raise ValueError('images and noise are (B, C, H, W) of one size and sigma is (B,), got '
                         f'{tuple(images.shape)}, {tuple(noise.shape)} and {tuple(sigma.shape)}')
