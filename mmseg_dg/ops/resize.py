"""Maps at another size.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: Most rows and columns of a map whose gradient is taken by matrix products, whose cost grows with
#: them while that of torch's kernel does not: measured on one core, the products take 0.25 of its
#: time for 8 x 8 -> 128 x 128, 0.58 for 32 x 32 -> 128 x 128 and 0.80 for 64 x 64 -> 256 x 256.
WIDEST = 64


def resize(maps: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Resize maps bilinearly, without antialiasing.

    On a CPU the gradient of small contiguous float32 maps comes from two matrix products, which
    torch's kernel for it agrees with up to rounding. Values and all other gradients are torch's,
    those in float64 among them, where results are compared to the last digit.

    Args:
        maps: Floating point (B, C, h, w).
        size: Height H and width W of the result.
        align_corners: Whether the centers of the corner pixels stay where they are, or their outer
            corners.

    Returns:
        (B, C, H, W), of the same type; ``maps`` itself where it has the size.
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if _by_products(maps):
        return _Bilinear.apply(maps, tuple(size), align_corners)
    return F.interpolate(maps, tuple(size), mode='bilinear', align_corners=align_corners)


def _by_products(maps: Tensor) -> bool:
    """Whether the gradient of ``maps`` (B, C, h, w) is wanted and cheaper by matrix products."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False  # a compiler writes kernels of its own; a trace holds torch's operations only
    return (torch.is_grad_enabled() and maps.requires_grad and maps.device.type == 'cpu'
            and maps.dtype == torch.float32 and max(maps.shape[-2:]) <= WIDEST
            and maps.is_contiguous())


class _Bilinear(torch.autograd.Function):
    """``F.interpolate(mode='bilinear')`` whose gradient is one product along each axis: resizing is
    linear, so its gradient is the transposed map.
    """
    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        """(B, C, h, w) -> (B, C, H, W)."""
        return F.interpolate(maps, size, mode='bilinear', align_corners=align_corners)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        """Keep the sizes (h, w) and (H, W), and no tensor."""
        maps, size, ctx.align_corners = inputs
        ctx.sizes = tuple(maps.shape[-2:]), size

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(B, C, H, W) -> (B, C, h, w)."""
        kind = 'float64' if gradient.dtype == torch.float64 else 'float32'
        rows, columns = (torch.from_numpy(_weights(old, new, ctx.align_corners, kind))
                         for old, new in zip(*ctx.sizes))
        with torch.autocast('cpu', enabled=False):  # else products would be rounded to bfloat16
            # (B, C, H, W) (W, w) -> (B, C, H, w); (h, H) (B, C, H, w) -> (B, C, h, w)
            return rows @ (gradient @ columns.T), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        """Forward-mode derivative: (B, C, h, w) -> (B, C, H, W), resized as the maps."""
        return F.interpolate(tangent, ctx.sizes[1], mode='bilinear',
                             align_corners=ctx.align_corners)


@lru_cache(maxsize=64)
def _weights(old: int, new: int, align_corners: bool, kind: str) -> np.ndarray:
    """(old, new) of type ``kind``: how much each of ``old`` places counts in each of ``new`` along
    one axis.

    An array and no tensor: it must not depend on the modes (inference, fake tensors, default
    device) under which it is asked for first.
    """
    number = np.dtype(kind).type  # computed in the type of the maps, as torch's kernel does
    places = np.arange(new, dtype=kind)
    if align_corners:
        source = places * (number(old - 1) / number(new - 1) if new > 1 else number(0))
    else:
        source = (places + number(0.5)) * (number(old) / number(new)) - number(0.5)
        source = np.maximum(source, number(0))
    low = np.minimum(source.astype(np.int64), old - 1)  # the place before, the last one at most
    share = source - low.astype(kind)  # of the place after it
    weights = np.zeros((old, new), kind)
    np.add.at(weights, (low, np.arange(new)), number(1) - share)
    np.add.at(weights, (np.minimum(low + 1, old - 1), np.arange(new)), share)
    return weights
