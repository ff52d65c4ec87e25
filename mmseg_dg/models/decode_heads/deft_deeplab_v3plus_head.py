"""The decoder of DeepLabV3+ with ordinary convolutions, as DeFT and the RobustNet family of papers
use it.

Shapes: B images, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmseg_dg.registry import MODELS

from .base import FusedFeatureHead, resize_to

#: Kaiming-normal, fan-in (docs/behavior/deft.md#step-1-initialization); of the classifier as well.
_INIT = dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='relu',
             distribution='normal', a=0)


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, normalization, ReLU; (B, C_in, H, W) -> (B, C_out, H, W)."""
    def __init__(self, in_channels: int, channels: int, kernel_size: int, norm_cfg: dict,
                 dilation: int = 1) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(
            nn.Conv2d(in_channels, channels, kernel_size, padding=padding, dilation=dilation,
                      bias=False),
            build_norm_layer(norm_cfg, channels)[1], nn.ReLU(inplace=True))


@MODELS.register_module()
class DeFTDeepLabV3PlusHead(FusedFeatureHead):
    """Ordinary ASPP with image pooling, and a decoder that joins a low-level map.

    Image pooling, 1x1 and three dilated 3x3 convolutions are concatenated in this order and reduced
    by a 1x1 convolution; the result is enlarged to the low-level map (reduced to ``c1_channels``),
    joined with it and refined by two 3x3 convolutions. No dropout, all resizing bilinear with
    aligned corners. mmseg's ``DepthwiseSeparableASPPHead`` differs: separable convolutions and a
    3x3 bottleneck. Source: docs/behavior/deft.md#network.

    Args:
        in_channels: Channels of the low-level and the deep map, (256, 2048) for ResNet-50 and -101.
        channels: Width of the branches and of the decoder, 256.
        num_classes: Classes.
        in_index: Levels of the two maps, (0, 3).
        dilations: Of the 3x3 branches; (6, 12, 18) at output stride 16.
        c1_channels: Width of the reduced low-level map, 48.
        dropout_ratio: 0 in the paper.
        norm_cfg: Normalization layer.
        align_corners: True in the paper.
        init_cfg: Kaiming-normal (fan-in) on every convolution unless given.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: Not two maps.
    """
    def __init__(self, in_channels: Sequence[int] = (256, 2048), channels: int = 256, *,
                 num_classes: int, in_index: Sequence[int] = (0, 3),
                 dilations: Sequence[int] = (6, 12, 18), c1_channels: int = 48,
                 dropout_ratio: float = 0., norm_cfg: Optional[dict] = None,
                 align_corners: bool = True, init_cfg: Union[dict, Sequence[dict],
                                                             None] = _INIT, **kwargs: Any) -> None:
        if len(in_channels) != 2 or len(in_index) != 2:
            raise ValueError('DeFTDeepLabV3PlusHead reads a low-level and a deep map: give two '
                             f'in_channels and two in_index, got {list(in_channels)} and '
                             f'{list(in_index)}')
        norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        super().__init__(list(in_channels), channels, num_classes=num_classes,
                         in_index=list(in_index), input_transform='multiple_select',
                         dropout_ratio=dropout_ratio, norm_cfg=norm_cfg,
                         align_corners=align_corners, init_cfg=init_cfg, **kwargs)
        low, deep = in_channels
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1),
                                        ConvNormReLU(deep, channels, 1, norm_cfg))
        self.aspp = nn.ModuleList([ConvNormReLU(deep, channels, 1, norm_cfg)])
        self.aspp.extend(
            ConvNormReLU(deep, channels, 3, norm_cfg, dilation) for dilation in dilations)
        # + 1: the image pooling beside the branches of ``aspp``
        self.bottleneck = ConvNormReLU((len(self.aspp) + 1) * channels, channels, 1, norm_cfg)
        self.c1_bottleneck = ConvNormReLU(low, c1_channels, 1, norm_cfg)
        self.refine = nn.Sequential(ConvNormReLU(c1_channels + channels, channels, 3, norm_cfg),
                                    ConvNormReLU(channels, channels, 3, norm_cfg))

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Features before the classifier, (B, channels, H, W) at the size of the low-level map."""
        low, deep = self._transform_inputs(inputs)
        # (B, channels, 1, 1) expanded to the deep map, as bilinear resizing of one pixel would
        pooled = self.image_pool(deep).expand(-1, -1, *deep.shape[-2:])
        branches = [pooled, *(branch(deep) for branch in self.aspp)]
        context = self.bottleneck(torch.cat(branches, dim=1))
        detail = self.c1_bottleneck(low)
        return self.refine(
            torch.cat((detail, resize_to(context, detail, self.align_corners)), dim=1))
