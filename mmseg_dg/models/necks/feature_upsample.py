"""Enlarge chosen levels of a feature pyramid.

Shapes: B images.
"""
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.registry import MODELS


@MODELS.register_module()
class FeatureUpsampleNeck(nn.Module):
    """Bilinear upsampling of some levels; the others pass through. No parameters.

    DAFormer's study uses it to put decoders made for ResNets (output stride 8) on a Mix Transformer
    (x4 on level 3) and for its "context only at F4" decoder (x8 on level 3).

    Args:
        in_index: Levels that are enlarged.
        scales: Factor per entry of ``in_index``.

    Raises:
        ValueError: Lengths differ, or a factor is below 1.
    """
    def __init__(self, in_index: Sequence[int] = (3, ), scales: Sequence[float] = (4, )) -> None:
        super().__init__()
        if len(in_index) != len(scales) or any(s < 1 for s in scales):
            raise ValueError(f'give one factor >= 1 per level: in_index={tuple(in_index)}, '
                             f'scales={tuple(scales)}')
        self.scales = dict(zip(in_index, scales))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, C_i, H_i, W_i) -> as many; an enlarged level has ``floor(scale_i * H_i)`` rows
        and ``floor(scale_i * W_i)`` columns.
        """
        return tuple(
            F.interpolate(x, scale_factor=float(self.scales[i]), mode='bilinear',
                          align_corners=False) if i in self.scales else x
            for i, x in enumerate(inputs))
