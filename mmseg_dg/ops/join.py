"""Maps side by side in one.

Shapes: B images, C channels (C_i of map i), H x W pixels.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Joined(torch.autograd.Function):
    """``torch.cat`` along the channels whose gradients are maps of their own.

    Those of ``torch.cat`` are views into the joined gradient; batch norm's backward pass takes
    seven times as long on such a view in channels-last.
    """
    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        """(B, C_i, H, W) each -> (B, sum of C_i, H, W)."""
        ctx.channels = [x.shape[1] for x in maps]
        return torch.cat(maps, dim=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """(B, sum of C_i, H, W) -> (B, C_i, H, W) each, dense in the layout of ``grad``."""
        # maps of one pixel (B, C, 1, 1) have both layouts at once: contiguous, then
        last = grad.is_contiguous(memory_format=torch.channels_last) and not grad.is_contiguous()
        layout = torch.channels_last if last else torch.contiguous_format
        return tuple(
            part.contiguous(memory_format=layout) for part in grad.split(ctx.channels, dim=1))


def join_channels(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C_i, H, W) one behind the other: (B, sum of C_i, H, W)."""
    # a compiler makes its own backward pass, and without gradients there is none
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return torch.cat(list(maps), dim=1)
    return _Joined.apply(*maps)
