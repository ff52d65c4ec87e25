"""Light decoders on the tokens of a plain Vision Transformer.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.ops.resize import resize
from mmseg_dg.registry import MODELS

from .base import FusedFeatureHead


@MODELS.register_module()
class TokenLinearHead(FusedFeatureHead):
    """One linear layer on the last map: the head of a linear probe.

    Source: docs/behavior/foundation_encoders.md#heads ("How to Benchmark Vision Foundation Models
    for Semantic Segmentation?", Kerssies et al., 2024). Logits have the size of the map; they are
    resized to the labels' size without aligned corners.

    Args:
        in_channels: Channels of the map.
        num_classes: Output channels.
        in_index: Which map.
        dropout_ratio: Dropout2d before the layer.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.
    """
    def __init__(self, in_channels: int, *, num_classes: int, in_index: int = -1,
                 dropout_ratio: float = 0., align_corners: bool = False, **kwargs: Any) -> None:
        super().__init__(in_channels, in_channels, num_classes=num_classes, in_index=in_index,
                         dropout_ratio=dropout_ratio, align_corners=align_corners, **kwargs)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """The map itself, (B, in_channels, h, w)."""
        return self._transform_inputs(inputs)


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W), at every place by itself."""
    def forward(self, x: Tensor) -> Tensor:
        # LayerNorm wants channels last: (B, C, H, W) -> (B, H, W, C) and back
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class TokenUpscaleHead(FusedFeatureHead):
    """VFM-UDA's head: the last map enlarged four times by two transposed convolutions, no
    BatchNorm, no dropout.

    Transposed convolution D to D/2 (kernel and stride 2, no bias), LayerNorm per place, GELU; D/2
    to D/4 (likewise), LayerNorm; 3x3 (no bias), LayerNorm; 1x1 to the classes (no bias, normal with
    deviation 0.1). Source: docs/behavior/foundation_encoders.md#heads (Englert et al., CVPR
    Workshops 2024).

    Args:
        in_channels: Channels D of the map; a multiple of 4.
        num_classes: Output channels.
        in_index: Which map.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: ``in_channels`` is no multiple of 4.
    """
    def __init__(self, in_channels: int, *, num_classes: int, in_index: int = -1,
                 align_corners: bool = False, dropout_ratio: float = 0.,
                 init_cfg: Optional[dict] = None, **kwargs: Any) -> None:
        if in_channels % 4:
            raise ValueError(f'TokenUpscaleHead: in_channels={in_channels} must be a multiple of 4')
        super().__init__(in_channels, in_channels // 4, num_classes=num_classes, in_index=in_index,
                         dropout_ratio=dropout_ratio, align_corners=align_corners,
                         init_cfg=init_cfg, **kwargs)
        half, quarter = in_channels // 2, in_channels // 4
        self.upscale = nn.Sequential(nn.ConvTranspose2d(in_channels, half, 2, stride=2, bias=False),
                                     MapNorm(half, eps=1e-6), nn.GELU(),
                                     nn.ConvTranspose2d(half, quarter, 2, stride=2, bias=False),
                                     MapNorm(quarter, eps=1e-6),
                                     nn.Conv2d(quarter, quarter, 3, padding=1, bias=False),
                                     MapNorm(quarter, eps=1e-6))
        self.conv_seg = nn.Conv2d(quarter, self.out_channels, 1, bias=False)
        nn.init.normal_(self.conv_seg.weight, std=0.1)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """(B, in_channels / 4, 4 h, 4 w)."""
        return self.upscale(self._transform_inputs(inputs))


class ResidualConvUnit(nn.Module):
    """``x + conv3x3(relu(conv3x3(relu(x))))``, with biases, without norm."""
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class RefineBlock(nn.Module):
    """Takes a finer map in (but for the coarsest), refines, enlarges, and mixes channels by a 1x1
    convolution."""
    def __init__(self, channels: int, takes_skip: bool) -> None:
        super().__init__()
        self.skip_unit = ResidualConvUnit(channels) if takes_skip else None
        self.unit = ResidualConvUnit(channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, skip: Optional[Tensor], size: tuple[int, int]) -> Tensor:
        """``x`` from the coarser block and ``skip``, the map of the own level (None for a block
        without), (B, C, h, w) each -> (B, C, *size).
        """
        if self.skip_unit is not None:
            x = x + self.skip_unit(skip)
        return self.out(resize(self.unit(x), size, align_corners=True))


#: Widths of :class:`DPTHead` by the encoder's: (features, (level 1, ..., level 4)).
DPT_WIDTHS = {
    384: (64, (48, 96, 192, 384)),
    768: (128, (96, 192, 384, 768)),
    1024: (256, (256, 512, 1024, 1024)),
    1536: (384, (1536, 1536, 1536, 1536)),
}


@MODELS.register_module()
class DPTHead(FusedFeatureHead):
    """Dense prediction transformer's decoder (Ranftl et al., ICCV 2021) in UniMatch V2's form.

    Four maps of one grid become maps at 4, 2, 1 and 1/2 times its resolution, which are fused from
    the coarsest to the finest; no BatchNorm. Logits have eight times the grid's resolution. The
    published network holds two more layers in its coarsest block that it never uses; here they do
    not exist. Source: docs/behavior/foundation_encoders.md#heads.

    Args:
        in_channels: Channels of the four maps.
        channels: Width of the fusion; None: as published for this ``in_channels``.
        level_channels: Widths of the four levels before it; None: likewise.
        num_classes: Output channels.
        in_index: Which maps.
        dropout_ratio: Dropout2d before the classifier.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: Not four maps, or widths that are given nowhere.
    """
    def __init__(self, in_channels: Sequence[int], channels: Optional[int] = None, *,
                 num_classes: int, level_channels: Optional[Sequence[int]] = None,
                 in_index: Sequence[int] = (0, 1, 2, 3), dropout_ratio: float = 0.,
                 align_corners: bool = True, init_cfg: Optional[dict] = None,
                 **kwargs: Any) -> None:
        if len(in_channels) != 4 or len(in_index) != 4:
            raise ValueError(
                f'DPTHead: in_channels={tuple(in_channels)} and in_index={tuple(in_index)} must '
                'have four entries: set out_indices of the encoder to four blocks')
        # widths of the published models, by the encoder's; None where nothing is published
        published, published_levels = DPT_WIDTHS.get(in_channels[-1], (None, None))
        channels = published if channels is None else channels
        level_channels = published_levels if level_channels is None else level_channels
        if channels is None or level_channels is None:
            raise ValueError(
                f'DPTHead: no published widths for in_channels={tuple(in_channels)} (known: '
                f'{sorted(DPT_WIDTHS)}): give channels and level_channels')
        widths = tuple(level_channels)
        super().__init__(list(in_channels), channels, num_classes=num_classes,
                         in_index=list(in_index), input_transform='multiple_select',
                         dropout_ratio=dropout_ratio, align_corners=align_corners,
                         init_cfg=init_cfg, **kwargs)
        self.projects = nn.ModuleList(nn.Conv2d(c, w, 1) for c, w in zip(in_channels, widths))
        # four maps of one stride become a pyramid: times 4, times 2, as it is, half
        self.resizes = nn.ModuleList([
            nn.ConvTranspose2d(widths[0], widths[0], 4, stride=4),
            nn.ConvTranspose2d(widths[1], widths[1], 2, stride=2),
            nn.Identity(),
            nn.Conv2d(widths[3], widths[3], 3, stride=2, padding=1)
        ])
        self.levels = nn.ModuleList(
            nn.Conv2d(w, channels, 3, padding=1, bias=False) for w in widths)
        self.blocks = nn.ModuleList(RefineBlock(channels, i < 3) for i in range(4))
        self.out_conv = nn.Conv2d(channels, channels, 3, padding=1)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """(B, channels, 8 h, 8 w) for maps (B, C_i, h, w)."""
        maps = [
            level(resize(project(x))) for level, resize, project, x in zip(
                self.levels, self.resizes, self.projects, self._transform_inputs(inputs))
        ]
        # from the coarsest map to the finest. A block gets the result of the block before, the map
        # of its own level, and the size (h, w) that it enlarges to: that of the next level. The
        # first block has only the coarsest map
        x = self.blocks[3](maps[3], None, tuple(maps[2].shape[-2:]))
        for i in (2, 1):
            x = self.blocks[i](x, maps[i], tuple(maps[i - 1].shape[-2:]))
        height, width = maps[0].shape[-2:]
        x = self.blocks[0](x, maps[0], (2 * height, 2 * width))
        return torch.relu(self.out_conv(x))
