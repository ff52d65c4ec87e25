"""Gaussian blur as two one-dimensional passes.

Gives what the official DAFormer/HRDA augmentation computes with a full K x K depthwise convolution,
at a fraction of the cost (docs/behavior/daformer_hrda.md#class-mix-jitter-and-blur; checked against
lhoyer/HRDA c370b5b).

Shapes: B images, C channels, H x W pixels.
"""
from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32

# Taps below this share of the kernel's sum cannot change a float32 result: 1e-12 is far below half
# an ulp (6e-8).
NEGLIGIBLE = 1e-12


def blur_kernel_size(size: int) -> int:
    """Side of the blur kernel for an image side: the largest odd number that is at most ceil(0.1 *
    size).

    Args:
        size: Image side in pixels, at least 1.

    Returns:
        Odd; 512 -> 51, 1024 -> 103, 1 -> 1.

    Raises:
        ValueError: ``size`` below 1.
    """
    if size < 1:
        raise ValueError(f'size must be at least 1, got {size}')
    tenth = math.ceil(0.1 * size)
    return tenth - 1 + tenth % 2  # one less where that is even


def gaussian_blur(image: Tensor, sigma: float,
                  kernel_size: int | tuple[int, int] | None = None) -> Tensor:
    """Blur with a Gaussian of the same sigma on both axes, normalized per axis, with reflected
    borders.

    The passes are weighted sums of shifted views: no convolution whose precision depends on TF32 or
    autocast. Taps whose weight is below 1e-12 of the sum (further out than about 7.4 sigma) are
    left out. Half precision is computed in float32 and cast back.

    Args:
        image: Floating point (B, C, H, W).
        sigma: Standard deviation in pixels, positive.
        kernel_size: Odd side, or (height, width). Default: one tenth of each image side, see
            :func:`blur_kernel_size`.

    Returns:
        Same shape and dtype.

    Raises:
        ValueError: Wrong shape or dtype, ``sigma`` not positive, or a kernel that is even or
            reaches further than the image can be reflected.
    """
    if image.dim() != 4 or not image.is_floating_point():
        raise ValueError(f'image must be a floating point (B, C, H, W), got {tuple(image.shape)} '
                         f'{image.dtype}')
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f'sigma must be positive and finite, got {sigma}')
    height, width = image.shape[-2:]
    if kernel_size is None:
        kernel_size = (blur_kernel_size(height), blur_kernel_size(width))
    elif isinstance(kernel_size, int):
        kernel_size = (kernel_size, kernel_size)
    for side, size in zip(kernel_size, (height, width)):
        if side < 1 or side % 2 == 0:
            raise ValueError(f'kernel_size must be odd and positive, got {kernel_size}')
        if side // 2 >= size:
            raise ValueError(f'kernel_size {kernel_size} (height, width) is too large to reflect '
                             f'an image of {height} x {width}; at most {2 * size - 1} for a side '
                             f'of {size}')
    out = at_least_float32(image)
    out = _blur_axis(out, -2, _half_kernel(kernel_size[0], sigma))
    out = _blur_axis(out, -1, _half_kernel(kernel_size[1], sigma))
    return out.to(image.dtype)


def _half_kernel(size: int, sigma: float) -> list[float]:
    """Weights at distance 0, 1, 2, ... of a symmetric kernel, normalized over all its taps, cut
    where negligible.
    """
    # a product, not a power: the square of a huge quotient (a tiny sigma) is infinite instead of an
    # error
    weights = [math.exp(-0.5 * (tap / sigma) * (tap / sigma)) for tap in range(size // 2 + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    return [weight / total for weight in weights if weight >= NEGLIGIBLE * total]


def _blur_axis(image: Tensor, dim: int, half: list[float]) -> Tensor:
    """One pass along ``dim`` of (B, C, H, W); ``half`` are the weights from the center outwards."""
    radius = len(half) - 1
    if radius == 0:
        return image * half[0]
    size = image.shape[dim]
    padding = (0, 0, radius, radius) if dim == -2 else (radius, radius, 0, 0)
    padded = F.pad(image, padding, mode='reflect')
    out = image * half[0]
    for tap, weight in enumerate(half[1:], start=1):
        # the view shifted by -tap, then the one shifted by +tap
        out = out.add(padded.narrow(dim, radius - tap, size), alpha=weight)
        out = out.add(padded.narrow(dim, radius + tap, size), alpha=weight)
    return out
