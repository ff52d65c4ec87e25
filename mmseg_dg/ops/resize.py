"""Maps at another size.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: Widest map whose gradient is taken by matrix products. They do h or w products per pixel where
#: torch's kernel does four: on one core they took 0.4 of its time from 8 to 128 places, 0.6 from
#: 32 to 128, and would take more of it above 200.
WIDEST = 64


def resize(maps: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Resize maps bilinearly, without antialiasing.

    On a CPU the gradient of small float32 or float64 maps comes from two matrix products, which
    torch's kernel for it agrees with up to rounding; values and all other gradients are torch's.

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
    return (torch.is_grad_enabled() and maps.requires_grad and maps.device.type == 'cpu'
            and maps.dtype in (torch.float32, torch.float64) and max(maps.shape[-2:]) <= WIDEST
            and maps.is_contiguous()
            and not torch.compiler.is_compiling())  # a compiler writes kernels of its own


class _Bilinear(torch.autograd.Function):
    """``F.interpolate(mode='bilinear')`` whose gradient is one product along each axis: resizing is
    linear, so its gradient is the transposed map.
    """
    @staticmethod
    def forward(ctx: Any, maps: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        """(B, C, h, w) -> (B, C, H, W)."""
        ctx.sizes, ctx.align_corners = (tuple(maps.shape[-2:]), size), align_corners
        return F.interpolate(maps, size, mode='bilinear', align_corners=align_corners)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(B, C, H, W) -> (B, C, h, w)."""
        rows, columns = (_weights(old, new, ctx.align_corners, gradient.dtype)
                         for old, new in zip(*ctx.sizes))
        with torch.autocast('cpu', enabled=False):  # else products would be rounded to bfloat16
            # (B, C, H, W) (W, w) -> (B, C, H, w); (h, H) (B, C, H, w) -> (B, C, h, w)
            return rows @ (gradient @ columns.T), None, None


@lru_cache(maxsize=64)
def _weights(old: int, new: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """(old, new): how much each of ``old`` places counts in each of ``new`` along one axis."""
    with torch.no_grad():
        return F.interpolate(
            torch.eye(old, dtype=dtype)[None], new, mode='linear', align_corners=align_corners)[0]
