"""A U-Net decoder over any pyramid of features.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Any, Optional

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mmseg_dg.registry import MODELS

from .base import FusedFeatureHead, resize_to

_BN = dict(type='BN')


class UpBlock(nn.Module):
    """Bilinear upsampling, concatenation with a skip feature, two 3x3 convolutions with norm and
    activation.

    Args:
        in_channels: Channels from below.
        skip_channels: Channels of the skip feature; 0 for a block without one, which doubles height
            and width.
        channels: Channels out.
        norm_cfg, act_cfg: As in ``ConvModule``.
        align_corners: Of the upsampling.
    """
    def __init__(self, in_channels: int, skip_channels: int, channels: int,
                 norm_cfg: Optional[dict], act_cfg: dict, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.conv1 = ConvModule(in_channels + skip_channels, channels, 3, padding=1,
                                norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.conv2 = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg,
                                act_cfg=act_cfg)

    def forward(self, x: Tensor, skip: Optional[Tensor] = None) -> Tensor:
        """(B, C, h, w) and a finer skip feature (B, C_s, H, W) -> (B, channels, H, W); without
        one the size is doubled.
        """
        if skip is None:
            x = interpolate(x, scale_factor=2, mode='bilinear', align_corners=self.align_corners)
        else:  # not exactly doubled where the image's size is odd
            x = torch.cat([resize_to(x, skip, self.align_corners), skip], dim=1)
        return self.conv2(self.conv1(x))


@MODELS.register_module()
class UNetHead(FusedFeatureHead):
    """U-Net decoder: from the coarsest level upwards, one block per finer level, then blocks
    without skip feature.

    The output has the stride of the finest level used, halved by every block beyond the levels:
    with MobileNetV2's strides (2, 4, 8, 16, 32) four ``widths`` end at stride 2, five at full
    resolution. Use it with encoders that have a stride-2 feature where fine detail matters
    (denoising).

    Args:
        in_channels: Channels per used level, finest first.
        widths: Channels of the blocks, coarsest first; at least one per skip feature.
        num_classes: Output channels.
        in_index: Levels that are used, finest first; all of them by default.
        bottleneck_channels: Channels of a 3x3 convolution on the coarsest level before the first
            block; None: none.
        classifier_kernel: Kernel of the classifier, odd.
        norm_cfg: Norm of all convolutions but the classifier; None gives them a bias instead.
        dropout_ratio: Dropout2d before the classifier.
        align_corners: Of the upsampling.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead`` (``loss_decode``, ``ignore_index``,
            ...).

    Raises:
        ValueError: Lengths that do not fit each other, or an even kernel.
    """
    def __init__(self, in_channels: Sequence[int], widths: Sequence[int] = (256, 128, 64, 32, 16),
                 *, num_classes: int, in_index: Optional[Sequence[int]] = None,
                 bottleneck_channels: Optional[int] = None, classifier_kernel: int = 1,
                 norm_cfg: Optional[dict] = _BN, dropout_ratio: float = 0.,
                 align_corners: bool = False, **kwargs: Any) -> None:
        in_index = range(len(in_channels)) if in_index is None else in_index
        if len(in_channels) != len(in_index) or len(in_channels) < 2:
            raise ValueError(f'in_channels {tuple(in_channels)} and in_index {tuple(in_index)} '
                             'must have one entry per level, two or more')
        skips = list(in_channels[:-1])[::-1]  # channels of the finer levels, coarsest first
        if len(widths) < len(skips):
            raise ValueError(f'widths {tuple(widths)} must have at least one entry per skip '
                             f'feature, of which there are {len(skips)}')
        if classifier_kernel % 2 == 0:
            raise ValueError(f'classifier_kernel must be odd, got {classifier_kernel}')
        super().__init__(list(in_channels), widths[-1], num_classes=num_classes,
                         in_index=list(in_index), input_transform='multiple_select',
                         norm_cfg=norm_cfg, dropout_ratio=dropout_ratio,
                         align_corners=align_corners, **kwargs)
        below = in_channels[-1]  # channels that come up from the block before
        self.bottleneck = nn.Identity()
        if bottleneck_channels is not None:
            self.bottleneck = ConvModule(below, bottleneck_channels, 3, padding=1,
                                         norm_cfg=norm_cfg, act_cfg=self.act_cfg)
            below = bottleneck_channels
        self.blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            skip = skips[i] if i < len(skips) else 0
            self.blocks.append(UpBlock(below, skip, width, norm_cfg, self.act_cfg, align_corners))
            below = width
        if classifier_kernel > 1:  # in place of the 1x1 classifier of mmseg's base class
            self.conv_seg = nn.Conv2d(self.channels, self.out_channels, classifier_kernel,
                                      padding=classifier_kernel // 2)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """(B, widths[-1], H, W) features before dropout and classifier."""
        *skips, x = self._transform_inputs(inputs)  # finest first; the coarsest is decoded
        x = self.bottleneck(x)
        # block i gets the i-th skip feature from the coarse end; further blocks get none
        for i, block in enumerate(self.blocks, start=1):
            x = block(x, skips[-i] if i <= len(skips) else None)
        return x
