"""The decoder of DeepLabV2, in the two forms domain adaptation papers use.

Shapes: B images, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any, Optional, Union

from mmseg.models.decode_heads.aspp_head import ASPPModule
from torch import Tensor

from mmseg_dg.registry import MODELS

from .base import FusedFeatureHead

_INIT = dict(type='Normal', layer='Conv2d', std=0.01)


@MODELS.register_module()
class DeepLabV2Head(FusedFeatureHead):
    """Sum of parallel dilated 3x3 convolutions from the encoder's last level straight to class
    logits.

    Args:
        in_channels: Channels of the level that is used.
        num_classes: Output channels.
        dilations: (6, 12, 18, 24) is DeepLabV2; (6, 12) is what the AdaptSegNet family of code
            really computes.
        in_index: Level that is used.
        channels: Must be ``in_channels`` or None: nothing lies between the encoder and the
            classifier.
        dropout_ratio: Dropout2d before the convolutions (0 in the papers).
        init_cfg: Normal(0, 0.01) on all branches, as in the papers, unless given.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: ``channels`` differs from ``in_channels``, or no dilation is given.
    """
    def __init__(self, in_channels: int, channels: Optional[int] = None, *, num_classes: int,
                 dilations: Sequence[int] = (6, 12, 18, 24), in_index: int = 3,
                 dropout_ratio: float = 0., init_cfg: Union[dict, Sequence[dict],
                                                            None] = _INIT, **kwargs: Any) -> None:
        # mmseg's base wants channels: those before the classifier, here the encoder's
        if channels not in (None, in_channels):
            raise ValueError(f'DeepLabV2Head classifies the {in_channels} input channels directly: '
                             f'leave out channels={channels}')
        if not dilations:
            raise ValueError('DeepLabV2Head needs at least one dilation, e.g. dilations=(6, 12, '
                             '18, 24)')
        super().__init__(in_channels, in_channels, num_classes=num_classes, in_index=in_index,
                         dropout_ratio=dropout_ratio, init_cfg=init_cfg, **kwargs)
        del self.conv_seg  # the branches are the classifier
        self.aspp_modules = ASPPModule(dilations=tuple(dilations), in_channels=in_channels,
                                       channels=self.out_channels, conv_cfg=None, norm_cfg=None,
                                       act_cfg=None)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """The encoder level itself, (B, in_channels, H, W)."""
        return self._transform_inputs(inputs)

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Logits (B, num_classes, H, W) of features (B, in_channels, H, W)."""
        if self.dropout is not None:
            feat = self.dropout(feat)
        # a list with one map of logits per dilation
        return sum(self.aspp_modules(feat))
