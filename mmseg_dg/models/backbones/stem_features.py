"""Encoders that also give the features of their stem, at stride 2: what a U-Net decoder needs for
fine detail.

Shapes: B images, H x W pixels.
"""
from torch import Tensor

from mmseg_dg.registry import MODELS

from .stock import MobileNetV2, ResNet


@MODELS.register_module()
class StemMobileNetV2(MobileNetV2):
    """mmseg's ``MobileNetV2`` with the output of its first convolution (32 channels, stride 2) as
    first level.

    The levels of ``out_indices`` follow. The first inverted residual squeezes the same stride to 16
    channels, from which much less of a pixel can be told. Arguments and parameter names are
    mmseg's, so its weight files load.
    """
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> maps, finest first: the stem at stride 2, then those of ``out_indices``.
        """
        stem = self.conv1(x)
        x, levels = stem, [stem]
        for i, name in enumerate(self.layers):  # names of modules, mmseg's way
            x = self.get_submodule(name)(x)
            if i in self.out_indices:
                levels.append(x)
        return tuple(levels)


@MODELS.register_module()
class StemResNet(ResNet):
    """mmseg's ``ResNet`` with its stem before the pooling (64 channels, stride 2) as first level.

    The levels of ``out_indices`` follow. Arguments and parameter names are mmseg's, so
    torchvision's files load; with ``deep_stem=True`` and ``avg_down=False`` it is ``ResNetV1c``.
    """
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> maps, finest first: the stem at stride 2, then those of ``out_indices``.
        """
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        levels = [x]
        x = self.maxpool(x)
        for i, name in enumerate(self.res_layers):
            x = self.get_submodule(name)(x)
            if i in self.out_indices:
                levels.append(x)
        return tuple(levels)
