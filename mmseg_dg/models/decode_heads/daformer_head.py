"""The DAFormer decoder and the variants of its decoder study.

Shapes: B images, H x W pixels.
"""
from collections.abc import Sequence
from typing import Any, Optional

from torch import Tensor, nn

from mmseg_dg.ops.convolution import cpu_layout, pointwise_conv, use_fast_convolutions
from mmseg_dg.registry import MODELS

from .base import FusedFeatureHead
from .fusion import ASPPFusion, build_fusion, fuse_levels


class LinearEmbedding(nn.Module):
    """One linear layer applied to every pixel: (B, in_channels, H, W) -> (B, channels, H, W)."""
    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        # the linear layer as a 1x1 convolution, which needs no copy with the channels last; the
        # parameter keeps the shape (channels, in_channels) that checkpoints have
        return pointwise_conv(x, self.proj.weight[:, :, None, None], self.proj.bias)


_BN = dict(type='BN')


@MODELS.register_module()
class DAFormerHead(FusedFeatureHead):
    """Context-aware multi-level decoder of DAFormer (Hoyer et al., CVPR 2022).

    Each level is embedded by a linear layer, all are resized to the first one, concatenated in the
    order of ``in_index`` and fused. Parameter names are the official ones. Checked against
    closed-form values of the official head in float64 (evaluation and training mode).

    Args:
        in_channels: Channels per used level, e.g. (64, 128, 320, 512) for MiT-B1..B5, (256, 512,
            1024, 2048) for ResNet-50/101.
        channels: Channels after the fusion.
        num_classes: Output channels; 1 is allowed (HRDA's class-agnostic scale attention).
        in_index: Levels that are used, finest first; logits have the size of the first.
        embed_channels: Channels of each embedding.
        fusion: ``type`` and options (:func:`mmseg_dg.models.decode_heads.fusion.build_fusion`).
            ``sep_aspp`` is the paper's; ``aspp`` has ordinary convolutions; ``conv1x1`` is the
            "SegFormer with 256 channels" of the paper and the scale attention of HRDA; ``isa`` is
            interlaced sparse attention; ``context_f4`` gives context to the last level only: its
            embedding is a plain 1x1 convolution followed by a separable ASPP, and a
            ``FeatureUpsampleNeck(in_index=(3,), scales=(8,))`` should bring that level to stride 4
            before.
        norm_cfg: Norm after the convolutions of the fusion (plain BN in the paper); None gives them
            a bias instead.
        dropout_ratio: Dropout2d before the classifier.
        align_corners: Of the resizing; the paper uses False.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead`` (``loss_decode``, ``ignore_index``,
            ...).

    Raises:
        ValueError: Unknown fusion or option; lengths of ``in_channels`` and ``in_index`` differ.
    """
    def __init__(self, in_channels: Sequence[int], channels: int = 256, *, num_classes: int,
                 in_index: Sequence[int] = (0, 1, 2, 3), embed_channels: int = 256,
                 fusion: Optional[dict] = None, norm_cfg: Optional[dict] = _BN,
                 dropout_ratio: float = 0.1, align_corners: bool = False, **kwargs: Any) -> None:
        if len(in_channels) != len(in_index):
            raise ValueError(f'in_channels {tuple(in_channels)} and in_index {tuple(in_index)} '
                             'must have one entry per level')
        super().__init__(in_channels=list(in_channels), channels=channels, num_classes=num_classes,
                         in_index=list(in_index), input_transform='multiple_select',
                         norm_cfg=norm_cfg, dropout_ratio=dropout_ratio,
                         align_corners=align_corners, **kwargs)
        fusion = dict(fusion or dict(type='sep_aspp'))
        # named by level, as in released checkpoints
        self.embed_layers = nn.ModuleDict(
            {str(i): LinearEmbedding(c, embed_channels)
             for i, c in zip(in_index, in_channels)})
        if fusion.get('type') == 'context_f4':  # context by ASPP on the coarsest level alone
            dilations = fusion.get('dilations', (1, 6, 12, 18))  # as the default of fusion.py
            self.embed_layers[str(in_index[-1])] = nn.Sequential(
                nn.Conv2d(in_channels[-1], embed_channels, 1),
                ASPPFusion(embed_channels, embed_channels, dilations, separable=True,
                           norm_cfg=norm_cfg, act_cfg=self.act_cfg))
        self.fuse_layer = build_fusion(fusion, embed_channels * len(in_index), channels, norm_cfg,
                                       self.act_cfg)
        # swaps the class of plain nn.Conv2d layers for one with faster CPU kernels; parameters stay
        use_fast_convolutions(self)

    def fused_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """All maps of the encoder (B, C_i, h_i, w_i), of which ``in_index`` are used -> features
        before dropout and classifier, (B, channels, h, w) at the size of the first level used.
        """
        # the memory layout that is fastest where the maps are (CPU: channels-last); same values
        maps = [cpu_layout(x) for x in self._transform_inputs(inputs)]
        levels = [embed(x) for embed, x in zip(self.embed_layers.values(), maps)]
        return fuse_levels(self.fuse_layer, levels, self.align_corners)
