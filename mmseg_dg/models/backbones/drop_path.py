"""Stochastic depth, and its rates over a network.

Shapes: B images.
"""
import torch
from mmcv.cnn.bricks.drop import DropPath as _DropPath
from torch import Tensor


class DropPath(_DropPath):
    """Stochastic depth per sample: a branch is kept with probability ``1 - drop_prob`` and then
    divided by it.

    Draws the same numbers as mmcv's in float32 and float64. In half precision mmcv's own draw
    rounds ``keep + u``, which can reach 2 and then doubles the branch, so there the mask is drawn
    in float32.
    """
    def forward(self, x: Tensor) -> Tensor:
        """Scale or drop each sample of ``x``, (B, ...) of any shape, which is kept."""
        if self.drop_prob == 0. or not self.training:
            return x
        keep = 1 - self.drop_prob
        # floor(keep + U) is 1 with probability ``keep``; half precision would draw too coarsely
        dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        # (B, 1, ..., 1), 0 or 1; x is divided by ``keep``, so that its mean stays
        mask = (keep + torch.rand((x.shape[0], ) + (1, ) *
                                  (x.ndim - 1), dtype=dtype, device=x.device)).floor_()
        return x.div(keep) * mask.to(x.dtype)


def drop_path_rates(last: float, count: int) -> list[float]:
    """``count`` rates from 0 to ``last``, evenly spaced (a single one is 0). Plain floats, not
    ``torch.linspace``, so that models can also be built on the meta device.
    """
    return [last * i / (count - 1) if count > 1 else 0. for i in range(count)]
