"""mmseg's convolutional encoders with the options of this package's encoders.

Same names, arguments and parameter names: in scope ``mmseg_dg`` a bare ``ResNet`` is this one,
``mmseg.ResNet`` the stock one. An exported network names the stock one again.
"""
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mmcv.cnn import ConvModule
from mmseg.models.backbones import MobileNetV2 as MMSegMobileNetV2
from mmseg.models.backbones import ResNeSt as MMSegResNeSt
from mmseg.models.backbones import ResNet as MMSegResNet
from mmseg.models.backbones import ResNetV1c as MMSegResNetV1c
from torch import nn

from mmseg_dg.registry import MODELS

from .encoder_options import EncoderOptions


class _Stock(EncoderOptions):
    """Adds ``trainable``, ``lora`` (refused: no attention) and ``extra_channels`` to an encoder of
    mmseg; all other arguments are passed on to it."""
    def __init__(self, *args: Any, trainable: str = 'all', lora: Optional[Mapping] = None,
                 extra_channels: str = 'zeros', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_options(trainable, lora, extra_channels)


@MODELS.register_module()
class ResNet(_Stock, MMSegResNet):
    """:class:`mmseg.models.ResNet` with ``trainable`` and ``extra_channels`` of
    :class:`EncoderOptions`."""
    # of the stock encoder, which has no types
    stem: nn.Module
    conv1: nn.Module
    norm1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    res_layers: Sequence[str]
    out_indices: Sequence[int]

    @property
    def input_layer(self) -> str:  # type: ignore[override]  # a name that depends on an option
        """Name of the convolution that reads the image."""
        return 'stem.0' if self.deep_stem else 'conv1'


@MODELS.register_module()
class ResNetV1c(_Stock, MMSegResNetV1c):
    """:class:`mmseg.models.ResNetV1c` with ``trainable`` and ``extra_channels`` of
    :class:`EncoderOptions`."""

    input_layer = 'stem.0'


@MODELS.register_module()
class ResNeSt(_Stock, MMSegResNeSt):
    """:class:`mmseg.models.ResNeSt` with ``trainable`` and ``extra_channels`` of
    :class:`EncoderOptions`."""

    input_layer = 'stem.0'


@MODELS.register_module()
class MobileNetV2(_Stock, MMSegMobileNetV2):
    """:class:`mmseg.models.MobileNetV2` with ``trainable``, ``extra_channels`` and ``in_channels``.

    Args:
        in_channels: Channels of the image.
        args, kwargs: Of the stock encoder and of :class:`EncoderOptions`.
    """

    input_layer = 'conv1.conv'
    # of the stock encoder, which has no types
    conv1: ConvModule
    layers: Sequence[str]
    out_indices: Sequence[int]

    def __init__(self, *args: Any, in_channels: int = 3, **kwargs: Any) -> None:
        # kept back from the base class, which would freeze the encoder before its first convolution
        # is replaced; ``extra_channels`` is left to it
        freezing = {key: kwargs.pop(key) for key in ('trainable', 'lora') if key in kwargs}
        super().__init__(*args, **kwargs)
        if in_channels != 3:  # mmseg's first convolution takes three
            old = self.conv1.conv
            self.conv1.conv = nn.Conv2d(in_channels, old.out_channels, old.kernel_size, old.stride,
                                        old.padding, bias=False)
        # ``_extra_channels``: as the base class has just set it from ``kwargs``
        self.set_options(extra_channels=self._extra_channels, **freezing)
