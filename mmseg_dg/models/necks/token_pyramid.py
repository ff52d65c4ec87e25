"""A pyramid for decoders made for convolutional encoders, from the maps of a plain Vision
Transformer.

Shapes: B images, C channels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.registry import MODELS


@MODELS.register_module()
class TokenPyramidNeck(nn.Module):
    """Maps of one stride brought to four: bilinear, no parameters.

    With patches of 16 pixels and the default factors the levels have strides 4, 8, 16 and 32, as
    DAFormer, UPer and SegFormer heads expect them; with 14 pixels 3.5, 7, 14 and 28. Rein and SoMA
    resize so (docs/behavior/foundation_encoders.md#heads).

    Args:
        scales: Factor per level, finest first.

    Raises:
        ValueError: A factor that is not positive; in ``forward``, a number of maps that is neither
            one nor that of the factors.
    """
    def __init__(self, scales: Sequence[float] = (4, 2, 1, 0.5)) -> None:
        super().__init__()
        if not scales or min(scales) <= 0:
            raise ValueError(f'TokenPyramidNeck: scales={tuple(scales)} must be positive')
        self.scales = tuple(float(s) for s in scales)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """One map (B, C, h, w), used for every level, or one per level; level i of the result has
        ``round(scale_i * h)`` rows and ``round(scale_i * w)`` columns (at least one)."""
        if len(inputs) not in (1, len(self.scales)):
            raise ValueError(
                f'TokenPyramidNeck: {len(inputs)} maps for {len(self.scales)} levels: set '
                'out_indices of the encoder to one block or to as many')
        maps = inputs if len(inputs) > 1 else tuple(inputs) * len(self.scales)
        return tuple(self._resized(x, scale) for x, scale in zip(maps, self.scales))

    @staticmethod
    def _resized(x: Tensor, scale: float) -> Tensor:
        """A map (B, C, h, w) with ``round(scale * side)`` for each side; itself for scale 1."""
        if scale == 1:
            return x
        size = tuple(_scaled(side, scale) for side in x.shape[-2:])
        return F.interpolate(x, size, mode='bilinear', align_corners=False)


def _scaled(side: Any, scale: float) -> Any:
    """``round(scale * side)``, at least 1.

    ``side`` is an int, or a ``torch.SymInt`` while a network is exported for images of any size.
    Such a symbol cannot be rounded or compared, so the same number is computed by whole-number
    arithmetic, which is possible for whole scales and for 0.5.

    Raises:
        ValueError: Another scale of a symbolic size.
    """
    if not isinstance(side, torch.SymInt):
        return max(round(scale * side), 1)
    if scale.is_integer():
        return int(scale) * side
    if scale == 0.5:
        # round() takes halves to the even number: of an odd side, side // 2 is that if it is even;
        # if it is odd (side // 2 % 2 is 1), one is added before the division
        return (side + side // 2 % 2) // 2
    raise ValueError(f'TokenPyramidNeck: scale {scale} of a free size: use whole numbers and 0.5')
