"""Diffusion over label maps: codes of labels, noise schedule, noising, one DDIM step, times of a
sampler.

Notation of docs/behavior/diffmatch.md#network-and-diffusion: ``y_t = alpha_t e(y_0) + sigma_t eps``
with ``eps ~ N(0, I)``, time t from 0 (clean) to 1 (noise) and ``alpha_t^2 + sigma_t^2 = 1``.
Scalars of the schedule are computed in float64 and handed on in float64; maps keep their own type.

Shapes: B images, K classes, D channels of a code, H x W pixels.
"""
import math
from collections.abc import Sequence
from numbers import Integral
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from .labels import check_ignore_index

SCHEDULES = ('cosine', 'linear')
#: Offset and floor of the cosine schedule; offset of the linear one
#: (docs/behavior/unimatch.md#ddp-noise-schedule).
COSINE_OFFSET, COSINE_FLOOR, LINEAR_OFFSET = 0.0002, 1e-5, 1e-4
#: Of the time of the cosine schedule: it keeps the angle below pi/2, where there is no signal.
_DIVISOR = 1.00025


# ---------------------------------------------------------------------- schedule
def log_snr(t: Tensor, schedule: str = 'cosine') -> Tensor:
    """Logarithm of the signal-to-noise ratio ``alpha_t^2 / sigma_t^2``.

    Cosine: ``-log(max(cos(pi/2 (t + 0.0002)/1.00025)^-2 - 1, 1e-5))``, i.e. ``alpha_t = cos(...)``
    but for the floor.
    Linear: ``-log(expm1(1e-4 + 10 t^2))``. Source: docs/behavior/unimatch.md#ddp-noise-schedule.

    Args:
        t: Times in [0, 1], any shape.
        schedule: ``'cosine'`` or ``'linear'``.

    Returns:
        float64, shape of ``t``.

    Raises:
        ValueError: Unknown schedule.
    """
    t = t.double()
    if schedule == 'cosine':
        angle = (t + COSINE_OFFSET) / _DIVISOR * (math.pi / 2)
        return -torch.log((torch.cos(angle)**-2 - 1).clamp(min=COSINE_FLOOR))
    if schedule == 'linear':
        return -torch.log(torch.expm1(LINEAR_OFFSET + 10 * t**2))
    raise ValueError(f'schedule must be one of {SCHEDULES}, got {schedule!r}')


def levels(t: Tensor, schedule: str = 'cosine') -> tuple[Tensor, Tensor]:
    """``(alpha_t, sigma_t)``, the factors of code and noise at times ``t`` (any shape); float64,
    shape of ``t``.
    """
    # alpha^2 + sigma^2 = 1 and alpha^2 / sigma^2 = exp(log_snr)
    log_ratio = log_snr(t, schedule)
    return torch.sigmoid(log_ratio).sqrt(), torch.sigmoid(-log_ratio).sqrt()


# ---------------------------------------------------------------------- forward process
def noised_code(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """``alpha clean + sigma noise``.

    Args:
        clean: Codes, (B, D, H, W).
        noise: Standard normal, same shape.
        alpha, sigma: Levels of the times of the images, (B,) each.

    Returns:
        (B, D, H, W).
    """
    return _per_image(alpha, clean) * clean + _per_image(sigma, clean) * noise


def ddim_step(noisy: Tensor, clean: Tensor, alpha: Tensor, sigma: Tensor, alpha_next: Tensor,
              sigma_next: Tensor) -> Tensor:
    """One deterministic DDIM step from the current time to the next.

    ``eps = (noisy - alpha clean) / max(sigma, 1e-8)``, result ``alpha_next clean + sigma_next
    eps``.

    Args:
        noisy: y_t, (B, D, H, W).
        clean: Code of the predicted labels, same shape.
        alpha, sigma: Levels of the current time, (B,).
        alpha_next, sigma_next: Levels of the next time, (B,).

    Returns:
        The state at the next time, (B, D, H, W).
    """
    noise = (noisy - _per_image(alpha, noisy) * clean) / _per_image(sigma.clamp(min=1e-8), noisy)
    return _per_image(alpha_next, noisy) * clean + _per_image(sigma_next, noisy) * noise


def time_pairs(steps: int, time_difference: float = 1.0) -> list[tuple[float, float]]:
    """Times of a sampler: step s evaluates the network at ``1 - s/T`` and moves to ``max(1 - (s + 1
    + td)/T, 0)``.

    With td > 0 the state is a little cleaner than the time the next evaluation claims: an asymmetry
    of the published samplers that helps with few steps. T = 3, td = 1: (1, 1/3), (2/3, 0), (1/3,
    0). Source: docs/behavior/unimatch.md#ddp-sampling.

    Args:
        steps: T, at least 1.
        time_difference: td >= 0.

    Returns:
        T pairs (time of the evaluation, time to which the state is moved after it).

    Raises:
        ValueError: Fewer than one step, or a negative difference.
    """
    check_steps(steps, 'steps')
    if time_difference < 0:
        raise ValueError(f'time_difference must not be negative, got {time_difference} (the papers '
                         'use 0, 1 or 2)')
    return [(1 - s / steps, max(1 - (s + 1 + time_difference) / steps, 0.0)) for s in range(steps)]


def check_steps(steps: int, name: str) -> None:
    """Refuse a number of sampling steps that is not a whole number above 0.

    Raises:
        ValueError: It names the argument and its value.
    """
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f'{name}={steps!r}: give a whole number, at least 1 (sampling takes 3 '
                         'steps in the paper)')


def _per_image(scalar: Tensor, like: Tensor) -> Tensor:
    """One number per image, shaped to multiply maps, of the type and device of ``like``."""
    # (B,) -> (B, 1, 1, ...), as many dimensions as ``like``
    return scalar.to(like).view(-1, *[1] * (like.dim() - 1))


# ---------------------------------------------------------------------- noise
def noise_maps(seeds: Sequence[int], shape: Sequence[int], device: torch.device,
               dtype: torch.dtype = torch.float32, on_cpu: bool = True) -> Tensor:
    """Standard normal maps, image i a function of ``seeds[i]`` and ``shape`` alone.

    Args:
        seeds: One per image, B of them.
        shape: Of one image, (D, H, W).
        device: Where the result lies.
        dtype: Of the result; drawn in float32.
        on_cpu: Draw on the CPU, so that every device gets the same numbers; False draws on
            ``device`` (faster).

    Returns:
        (B, D, H, W).
    """
    where = torch.device('cpu') if on_cpu else torch.device(device)
    maps = []
    for seed in seeds:
        generator = torch.Generator(device=where).manual_seed(int(seed))
        maps.append(torch.randn(tuple(shape), generator=generator, device=where))
    return torch.stack(maps).to(device=device, dtype=dtype)


# ---------------------------------------------------------------------- label codes
def downscale_label_map(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbor resize of label ids, or of a bool mask, (B, H, W) to ``size``, (height,
    width): int64 (B, height, width) with ids as they are, 255 too; the input itself where it has
    the size.
    """
    if tuple(labels.shape[-2:]) == tuple(size):
        return labels
    return F.interpolate(labels.unsqueeze(1).float(), size=tuple(size),
                         mode='nearest').squeeze(1).long()


def embedding_code(labels: Tensor, table: Tensor, scale: float, ignore_index: int = 255) -> Tensor:
    """Squashed learned embedding: ``scale (2 sigmoid(row) - 1)`` of each pixel's class.

    Args:
        labels: (B, H, W) int64, ``ignore_index`` allowed.
        table: (K + 1, D); the last row stands for ignored pixels. It receives gradients.
        scale: Signal scale b.
        ignore_index: Label of ignored pixels.

    Returns:
        (B, D, H, W), values in (-scale, scale).
    """
    check_ignore_index(len(table) - 1, ignore_index)  # K classes
    squashed = scale * (2 * torch.sigmoid(table) - 1)
    rows = torch.where(labels == ignore_index, len(table) - 1, labels)
    return F.embedding(rows, squashed).permute(0, 3, 1, 2)  # (B, H, W, D) -> (B, D, H, W)


def one_hot_code(labels: Tensor, num_classes: int, scale: float, ignore_index: int = 255) -> Tensor:
    """``scale`` at the channel of a pixel's class, 0 elsewhere; ignored pixels are 0 everywhere.

    Args:
        labels: (B, H, W) int64, ``ignore_index`` allowed.
        num_classes: K.
        scale: Signal scale b.
        ignore_index: Label of ignored pixels.

    Returns:
        (B, K, H, W) float32.
    """
    check_ignore_index(num_classes, ignore_index)
    known = labels != ignore_index
    # (B, H, W, K) -> (B, K, H, W)
    code = F.one_hot(torch.where(known, labels, 0), num_classes).permute(0, 3, 1, 2).float()
    return scale * code * known.unsqueeze(1)


def analog_bits_code(labels: Tensor, num_classes: int, scale: float,
                     ignore_index: int = 255) -> Tensor:
    """Binary digits of a pixel's class, most significant first, 0 -> ``-scale`` and 1 ->
    ``+scale``; ignored pixels carry the number K.

    Args:
        labels: (B, H, W) int64, ``ignore_index`` allowed.
        num_classes: K.
        scale: Signal scale b.
        ignore_index: Label of ignored pixels.

    Returns:
        (B, D, H, W) float32, D = ceil(log2(K + 1)).
    """
    check_ignore_index(num_classes, ignore_index)
    ids = torch.where(labels == ignore_index, num_classes, labels)
    # (1, bits, 1, 1), the most significant first
    places = torch.arange(num_bits(num_classes) - 1, -1, -1, device=labels.device).view(1, -1, 1, 1)
    bits = (ids.unsqueeze(1) >> places) & 1  # (B, bits, H, W)
    return scale * (2 * bits.float() - 1)


def num_bits(num_classes: int) -> int:
    """Binary digits that tell ``num_classes`` classes and ignored pixels apart."""
    # the largest number is that of ignored pixels, ``num_classes``
    return max(1, int(num_classes).bit_length())


# ---------------------------------------------------------------------- class prior
def class_prior(counts: Tensor, floor: float = 1e-4) -> Tensor:
    """Probabilities of classes from pixel counts: add-one smoothing, floor, sum 1.

    Args:
        counts: (K,), not negative. With few labels some are 0.
        floor: Smallest probability before the last normalization, in [0, 1/K].

    Returns:
        (K,) float64.

    Raises:
        ValueError: Negative or not one-dimensional counts, or a floor out of range.
    """
    counts = counts.double()
    if counts.dim() != 1 or bool((counts < 0).any()):
        raise ValueError('class counts must be a list of non-negative numbers, got shape '
                         f'{tuple(counts.shape)}')
    if not 0 <= floor <= 1 / len(counts):
        raise ValueError(f'prior floor={floor} must lie in [0, 1/{len(counts)}]')
    prior = (counts + 1) / (counts + 1).sum()
    prior = prior.clamp(min=floor)
    return prior / prior.sum()


def prior_logits(prior: Tensor, t: Tensor, tau: float = 1.0, weighting: str = 't',
                 dtype: Optional[torch.dtype] = None) -> Tensor:
    """The debiased adjustment ``a_k(t) = tau w(t) log(pi_k / max_j pi_j)`` with ``w(t) = t`` or 1.

    Reconstruction; source: docs/behavior/diffmatch.md#debiased-adjustment. Divided by the largest
    prior, so that a uniform prior gives exact zeros; a constant over the classes changes no
    softmax.

    Args:
        prior: (K,), positive.
        t: Noise times, (B,).
        tau: Strength.
        weighting: ``'t'`` or ``'one'``.
        dtype: Of the result; None: float64.

    Returns:
        (B, K, 1, 1), to be added to logits in the loss or subtracted at sampling.

    Raises:
        ValueError: Unknown weighting.
    """
    if weighting not in ('t', 'one'):
        raise ValueError(f"weighting must be 't' or 'one', got {weighting!r}")
    prior = prior.double()
    ratio = (prior / prior.max()).log()
    weight = t.double() if weighting == 't' else torch.ones_like(t, dtype=torch.float64)
    return (tau * weight[:, None] * ratio[None])[..., None, None].to(dtype or torch.float64)
