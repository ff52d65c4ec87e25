"""The decoder of SegFormer as in its paper.

Shapes: B images, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor, nn

from mmseg_dg.registry import MODELS

from .base import FusedFeatureHead, resize_to
from .daformer_head import LinearEmbedding
from .fusion import build_fusion

_BN = dict(type='BN')


@MODELS.register_module()
class SegFormerPaperHead(FusedFeatureHead):
    """All-MLP decoder of SegFormer (Xie et al., 2021): one linear layer per level, then a 1x1
    fusion.

    mmseg's ``SegformerHead`` is another network: it puts convolution, norm and ReLU on each level.
    The levels are concatenated finest first, as in the DAFormer study.

    Beside its real classifier ``linear_pred`` the official module carries a ``conv_seg`` that
    nothing uses (128 -> classes, 2 451 parameters for 19 classes). Here the classifier is
    ``conv_seg``, as in every other head, and there is no dead one: 3 164 947 parameters instead of
    3 167 398. ``official_weights`` renames and drops accordingly. The names of the other layers are
    assumed, not confirmed by a released file.

    Args:
        in_channels: Channels per used level.
        channels: Width of the linear layers and of the fused features (768 in the paper, 256 for
            the small models).
        num_classes: Output channels.
        in_index: Levels that are used, finest first.
        norm_cfg: Norm after the fusion; None gives its convolution a bias instead.
        dropout_ratio: Dropout2d before the classifier.
        align_corners: Of the resizing.
        init_cfg: None leaves the classifier at PyTorch's default, as in the official code.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: Lengths of ``in_channels`` and ``in_index`` differ.
    """
    def __init__(self, in_channels: Sequence[int], channels: int = 768, *, num_classes: int,
                 in_index: Sequence[int] = (0, 1, 2, 3), norm_cfg: Optional[dict] = _BN,
                 dropout_ratio: float = 0.1, align_corners: bool = False,
                 init_cfg: Optional[dict] = None, **kwargs: Any) -> None:
        if len(in_channels) != len(in_index):
            raise ValueError(f'in_channels {tuple(in_channels)} and in_index {tuple(in_index)} '
                             'must have one entry per level')
        super().__init__(in_channels=list(in_channels), channels=channels, num_classes=num_classes,
                         in_index=list(in_index), input_transform='multiple_select',
                         norm_cfg=norm_cfg, dropout_ratio=dropout_ratio,
                         align_corners=align_corners, init_cfg=init_cfg, **kwargs)
        self.linear_layers = nn.ModuleDict(
            {str(i): LinearEmbedding(c, channels)
             for i, c in zip(in_index, in_channels)})
        self.linear_fuse = build_fusion(dict(type='conv1x1'), channels * len(in_channels), channels,
                                        norm_cfg, self.act_cfg)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """(B, channels, H, W) features before dropout and classifier, at the size of the first
        level used.
        """
        levels = [
            layer(x)
            for layer, x in zip(self.linear_layers.values(), self._transform_inputs(inputs))
        ]
        return self.linear_fuse(
            torch.cat([resize_to(x, levels[0], self.align_corners) for x in levels], dim=1))
