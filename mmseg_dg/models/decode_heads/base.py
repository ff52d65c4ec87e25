"""What the decoders of this package share.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Optional, Union

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from mmseg_dg.ops.resize import resize


class FusedFeatureHead(BaseDecodeHead):
    """A decode head in two steps: features, then dropout and a classifier.

    Subclasses implement :meth:`fused_features`; alignment and prototype methods read it instead of
    running the head twice.

    Args:
        in_channels, channels, in_index, kwargs: As in mmseg's ``BaseDecodeHead``.
        num_classes: Classes. 1 gives a one-channel map (the class-agnostic scale attention of HRDA)
            whose binary threshold, unused there, is fixed at 0.5 unless given.
    """
    def __init__(self, in_channels: Union[int, Sequence[int]], channels: int, *, num_classes: int,
                 threshold: Optional[float] = None, **kwargs: Any) -> None:
        if threshold is None and 1 in (num_classes, kwargs.get('out_channels')):
            threshold = 0.5  # for None BaseDecodeHead would warn and take 0.3
        super().__init__(in_channels, channels, num_classes=num_classes, threshold=threshold,
                         **kwargs)

    @abstractmethod
    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Features of all pixels before dropout and classifier.

        Args:
            inputs: One map (B, C_i, H_i, W_i) per level of the encoder; ``in_index`` picks the ones
                that are used.

        Returns:
            (B, channels, H, W) at the size of the first level used.
        """

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes, H, W) of the pyramid ``inputs``."""
        return self.cls_seg(self.fused_features(inputs))


def resize_to(x: Tensor, like: Tensor, align_corners: bool = False) -> Tensor:
    """Bilinear resize (no antialiasing) of (B, C, h, w) to the height and width of ``like`` (B,
    ..., H, W); ``x`` itself where they are equal.
    """
    return resize(x, like.shape[2:], align_corners)
