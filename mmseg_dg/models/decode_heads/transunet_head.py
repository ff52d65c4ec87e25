"""The decoder of TransUNet with the widths of DDeP."""
from collections.abc import Sequence
from typing import Any, Optional

from mmseg_dg.registry import MODELS

from .unet_head import UNetHead

_BN = dict(type='BN')


@MODELS.register_module()
class TransUNetHead(UNetHead):
    """TransUNet decoder (Chen et al., 2021) as DDeP uses it: a 3x3 convolution on the tokens, then
    four up-blocks.

    Levels of :class:`HybridViT`: 64 channels at stride 2, 256 at 4, 512 at 8 and the tokens at 16.
    Each block is bilinear x2, concatenation of the skip feature, two 3x3 convolutions with
    BatchNorm and ReLU; the last block has no skip feature and ends at full resolution.

    The widths are not confirmed by a public source
    (docs/behavior/ddep.md#confirmed-inferred-unconfirmed): TransUNet's own are (512, 256, 128, 64,
    16).

    Args:
        in_channels: Channels per level, finest first.
        widths: Of the convolution on the tokens and of the four blocks, before the multiplier.
        width_multiplier: 1, 2 or 3 in the paper; any positive whole number works.
        num_classes: Output channels.
        classifier_kernel: 3 as in TransUNet.
        norm_cfg: Norm of all convolutions but the classifier.
        dropout_ratio: Dropout2d before the classifier; TransUNet has none.
        align_corners: Of the upsampling.
        kwargs: Further arguments of :class:`UNetHead`.

    Raises:
        ValueError: A multiplier below 1, or widths that are not one more than the blocks.
    """
    def __init__(self, in_channels: Sequence[int] = (64, 256, 512, 768),
                 widths: Sequence[int] = (1024, 512, 256, 128, 64), *, num_classes: int,
                 width_multiplier: int = 1, classifier_kernel: int = 3,
                 norm_cfg: Optional[dict] = _BN, dropout_ratio: float = 0.,
                 align_corners: bool = False, **kwargs: Any) -> None:
        if not isinstance(width_multiplier, int) or width_multiplier < 1:
            raise ValueError(f'width_multiplier is 1, 2, 3, ..., got {width_multiplier!r}')
        if len(widths) != len(in_channels) + 1:
            raise ValueError(f'widths {tuple(widths)} must have one entry for the tokens, one per '
                             'skip feature and one for the block at full resolution: '
                             f'{len(in_channels) + 1}')
        first, *rest = [width * width_multiplier for width in widths]
        super().__init__(in_channels, rest, num_classes=num_classes, bottleneck_channels=first,
                         classifier_kernel=classifier_kernel, norm_cfg=norm_cfg,
                         dropout_ratio=dropout_ratio, align_corners=align_corners, **kwargs)
        self.width_multiplier = width_multiplier
