"""How a DAFormer decoder merges the embedded levels: (B, C_in, H, W) -> (B, channels, H, W).

Shapes: B images, C channels, H x W pixels.
"""
import math
from collections.abc import Sequence
from typing import Callable, Optional

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPModule
from mmseg.models.utils import SelfAttentionBlock
from torch import Tensor, nn

from mmseg_dg.ops.convolution import pointwise_conv
from mmseg_dg.ops.join import join_channels
from mmseg_dg.ops.recompute import recomputed
from mmseg_dg.ops.resize import resize
from mmseg_dg.utils.options import check_options


class ASPPFusion(nn.Module):
    """Parallel dilated convolutions without image pooling, concatenated, then a 3x3 convolution.

    Args:
        in_channels, channels: Channels in and out.
        dilations: Dilation per branch; 1 means an ordinary 1x1 convolution.
        separable: Branches with dilation > 1 are a depth-wise 3x3 and a point-wise 1x1 convolution,
            each with norm and activation.
        norm_cfg, act_cfg: As in ``ConvModule``; without a norm every convolution has a bias.
    """
    def __init__(self, in_channels: int, channels: int, dilations: Sequence[int], separable: bool,
                 norm_cfg: Optional[dict], act_cfg: Optional[dict]) -> None:
        super().__init__()
        build = DepthwiseSeparableASPPModule if separable else ASPPModule
        self.aspp_modules = build(dilations=tuple(dilations), in_channels=in_channels,
                                  channels=channels, conv_cfg=None, norm_cfg=norm_cfg,
                                  act_cfg=act_cfg)
        self.bottleneck = ConvModule(
            len(dilations) * channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, channels, H, W)."""
        return self._merged([self._branch(branch, x) for branch in self.aspp_modules])

    def forward_levels(self, levels: Sequence[Tensor], align_corners: bool) -> Tensor:
        """The fusion of levels (B, C_i, h_i, w_i) that are not resized yet: (B, channels, h_0,
        w_0), see :func:`fuse_levels`.
        """
        x = resized_levels(levels, align_corners)  # (B, sum of C_i, h_0, w_0)
        constants = [level.detach() for level in levels]  # making x again needs no graph
        # x has the channels of all levels. To save memory, the branches do not keep it for their
        # backward pass, but this function, which makes it again
        with recomputed(x, lambda: resized_levels(constants, align_corners)):
            # a 1x1 branch can be computed before the resizing, at less cost
            branches = [
                pointwise_of_levels(branch, levels, align_corners, activate=self._late is None)
                if is_pointwise(branch) else self._branch(branch, x) for branch in self.aspp_modules
            ]
        del x  # its memory is free while the branches are merged
        return self._merged(branches)

    @property
    def _late(self) -> Optional[nn.Module]:
        """The ReLU that ends every branch, where it can be applied once, after their concatenation,
        instead of in each branch; None: it cannot, the branches keep their activations.

        This saves memory: the bottleneck keeps the activated map for its backward pass anyway, and
        ReLU needs no more than its output.
        """
        # the last layer of each branch; a separable one ends with its 1x1 convolution
        ends = [getattr(branch, 'pointwise_conv', branch) for branch in self.aspp_modules]
        fits = all(
            isinstance(end, ConvModule) and end.with_activation and end.order[-1] == 'act'
            and isinstance(end.activate, nn.ReLU) for end in ends)
        return ends[0].activate if fits else None

    def _branch(self, branch: BaseModule, x: Tensor) -> Tensor:
        """The map (B, channels, H, W) that one branch makes of ``x`` (B, C_in, H, W); without the
        branch's last activation where this follows after the concatenation (:attr:`_late`).
        """
        if self._late is None:
            return branch(x)
        if hasattr(branch, 'pointwise_conv'):
            return branch.pointwise_conv(branch.depthwise_conv(x), activate=False)
        return branch(x, activate=False)

    def _merged(self, branches: list[Tensor]) -> Tensor:
        """The maps of the branches, (B, channels, H, W) each, concatenated and sent through the
        bottleneck: (B, channels, H, W). The list is emptied, to free the memory of its maps.
        """
        x, late = join_channels(branches), self._late
        branches.clear()
        return self.bottleneck(x if late is None else late(x))


def resized_levels(levels: Sequence[Tensor], align_corners: bool) -> Tensor:
    """Levels (B, C_i, H_i, W_i) at the size of the first, one behind the other: (B, sum of C_i, H,
    W).
    """
    size = levels[0].shape[-2:]
    return torch.cat([resize(x, size, align_corners) for x in levels], dim=1)


def is_pointwise(module: nn.Module) -> bool:
    """Whether a module is a ``ConvModule`` that begins with a plain 1x1 convolution."""
    if not isinstance(module, ConvModule):
        return False
    conv = module.conv
    return (isinstance(conv, nn.Conv2d) and module.order[0] == 'conv'
            and (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((1, 1), (1, 1),
                                                                               (0, 0), 1))


def pointwise_of_levels(module: ConvModule, levels: Sequence[Tensor], align_corners: bool,
                        activate: bool = True) -> Tensor:
    """``module(resized_levels(levels))``, computed before resizing.

    A 1x1 convolution is linear and bilinear weights sum to one, so each level can be convolved by
    its part of the kernel at its own size: of four levels at strides 4 to 32 a third of the
    products remain.

    Args:
        module: See :func:`is_pointwise`.
        levels: (B, C_i, H_i, W_i), finest first.
        align_corners: Of the resizing.
        activate: False: without the module's activation.

    Returns:
        (B, C_out, H_0, W_0), at the size of the finest level.
    """
    size = levels[0].shape[-2:]
    total: Optional[Tensor] = None
    for x, weight in zip(levels, module.conv.weight.split([x.shape[1] for x in levels], dim=1)):
        bias = module.conv.bias if total is None else None  # once, not once per level
        # a 1x1 convolution commutes with the resizing, so it is done on the small map
        part = resize(pointwise_conv(x, weight, bias), size, align_corners)
        total = part if total is None else total + part
    assert total is not None  # there is a level
    for name in module.order[1:]:
        if name == 'norm' and module.with_norm:
            total = module.norm(total)
        elif name == 'act' and module.with_activation and activate:
            total = module.activate(total)
    return total


def fuse_levels(fusion: nn.Module, levels: Sequence[Tensor], align_corners: bool) -> Tensor:
    """``fusion(resized_levels(levels))`` with 1x1 convolutions before the resizing where the fusion
    begins with them.

    Args:
        fusion: Made by :func:`build_fusion`.
        levels: Embedded levels (B, C_i, H_i, W_i), finest first.
        align_corners: Of the resizing.

    Returns:
        (B, channels, H_0, W_0).
    """
    if isinstance(fusion, ASPPFusion):
        return fusion.forward_levels(levels, align_corners)
    if is_pointwise(fusion):
        return pointwise_of_levels(fusion, levels, align_corners)
    return fusion(resized_levels(levels, align_corners))


class GroupAttention(SelfAttentionBlock):
    """Self-attention among all places of a map (of one group's, when groups are the batch):
    (B, in_channels, h, w) -> the same shape.

    mmseg's block gives norm and activation to both value and output projection or to neither; here
    the output alone has them (docs/behavior/daformer_hrda.md), hence ``with_out=False`` and a
    projection of its own.

    Args:
        in_channels: Of the map, and of the result.
        channels: Width of keys and queries.
        key_query_num_convs: Convolutions in the key and the query projection.
        norm_cfg, act_cfg: As in ``ConvModule``.
    """
    def __init__(self, in_channels: int, channels: int, key_query_num_convs: int,
                 norm_cfg: Optional[dict], act_cfg: Optional[dict]) -> None:
        super().__init__(key_in_channels=in_channels, query_in_channels=in_channels,
                         channels=channels, out_channels=in_channels, share_key_query=False,
                         query_downsample=None, key_downsample=None,
                         key_query_num_convs=key_query_num_convs, value_out_num_convs=1,
                         key_query_norm=True, value_out_norm=False, matmul_norm=True,
                         with_out=False, conv_cfg=None, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.output_project = ConvModule(in_channels, in_channels, 1, norm_cfg=norm_cfg,
                                         act_cfg=act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return self.output_project(super().forward(x, x))


class InterlacedAttentionFusion(nn.Module):
    """1x1 convolution, then interlaced sparse self-attention: across groups, then inside each
    group.

    Args:
        in_channels, channels: Channels in and out.
        isa_channels: Width of keys and queries.
        down_factor: Height and width of a group in pixels; the map is zero-padded around to
            multiples of it.
        key_query_num_convs: Convolutions in the key and the query projection.
        norm_cfg, act_cfg: As in ``ConvModule``.
    """
    def __init__(self, in_channels: int, channels: int, isa_channels: int,
                 down_factor: tuple[int, int], key_query_num_convs: int, norm_cfg: Optional[dict],
                 act_cfg: Optional[dict]) -> None:
        super().__init__()
        self.down_factor = tuple(down_factor)
        self.in_conv = ConvModule(in_channels, channels, 1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        args = (channels, isa_channels, key_query_num_convs, norm_cfg, act_cfg)
        self.global_relation = GroupAttention(*args)
        self.local_relation = GroupAttention(*args)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, channels, H, W)."""
        x = self.in_conv(x)
        b, c, h, w = x.shape
        lh, lw = self.down_factor  # rows and columns of a group
        gh, gw = math.ceil(h / lh), math.ceil(w / lw)  # groups below and beside each other
        pad_h, pad_w = gh * lh - h, gw * lw - w
        top, left = pad_h // 2, pad_w // 2
        x = F.pad(x, (left, pad_w - left, top, pad_h - top))
        # pixels with the same place in every group attend to each other
        # (B, C, gh * lh, gw * lw) -> (B * lh * lw, C, gh, gw)
        x = x.view(b, c, gh, lh, gw, lw).permute(0, 3, 5, 1, 2, 4).reshape(-1, c, gh, gw)
        x = self.global_relation(x).view(b, lh, lw, c, gh, gw)  # (B, lh, lw, C, gh, gw)
        # then the pixels of each group
        x = x.permute(0, 4, 5, 3, 1, 2).reshape(-1, c, lh, lw)  # (B * gh * gw, C, lh, lw)
        x = self.local_relation(x).view(b, gh, gw, c, lh, lw)  # (B, gh, gw, C, lh, lw)
        # back to the map: (B, C, gh * lh, gw * lw)
        x = x.permute(0, 3, 1, 4, 2, 5).reshape(b, c, gh * lh, gw * lw)
        return x[:, :, top:top + h, left:left + w]


# Builders of the fusions by type (``FUSIONS``): build_fusion passes the first four arguments, and
# what a config gives as options of the type.


def _sep_aspp(in_channels: int, channels: int, norm_cfg: Optional[dict], act_cfg: Optional[dict],
              dilations: Sequence[int] = (1, 6, 12, 18)) -> nn.Module:
    """DAFormer's fusion: ASPP of separable convolutions."""
    return ASPPFusion(in_channels, channels, dilations, True, norm_cfg, act_cfg)


def _aspp(in_channels: int, channels: int, norm_cfg: Optional[dict], act_cfg: Optional[dict],
          dilations: Sequence[int] = (1, 6, 12, 18)) -> nn.Module:
    """ASPP of ordinary convolutions."""
    return ASPPFusion(in_channels, channels, dilations, False, norm_cfg, act_cfg)


def _conv1x1(in_channels: int, channels: int, norm_cfg: Optional[dict],
             act_cfg: Optional[dict]) -> nn.Module:
    """A 1x1 convolution with norm and activation."""
    return ConvModule(in_channels, channels, 1, norm_cfg=norm_cfg, act_cfg=act_cfg)


def _isa(in_channels: int, channels: int, norm_cfg: Optional[dict], act_cfg: Optional[dict],
         isa_channels: int = 256, down_factor: tuple[int, int] = (8, 8),
         key_query_num_convs: int = 1) -> nn.Module:
    """Interlaced sparse self-attention."""
    return InterlacedAttentionFusion(in_channels, channels, isa_channels, down_factor,
                                     key_query_num_convs, norm_cfg, act_cfg)


def _context_f4(in_channels: int, channels: int, norm_cfg: Optional[dict], act_cfg: Optional[dict],
                dilations: Sequence[int] = (1, 6, 12, 18)) -> nn.Module:
    """A 1x1 convolution. ``dilations`` is an option of the config, but not used here: the ASPP lies
    in the embedding of the last level, which ``DAFormerHead`` builds from the same config.
    """
    return _conv1x1(in_channels, channels, norm_cfg, act_cfg)


FUSIONS: dict[str, Callable[..., nn.Module]] = {
    'sep_aspp': _sep_aspp,
    'aspp': _aspp,
    'conv1x1': _conv1x1,
    'isa': _isa,
    'context_f4': _context_f4,
}


def build_fusion(cfg: dict, in_channels: int, channels: int, norm_cfg: Optional[dict],
                 act_cfg: Optional[dict]) -> nn.Module:
    """Build the fusion that ``cfg`` describes.

    Args:
        cfg: ``type`` is one of ``sep_aspp``, ``aspp`` and ``context_f4`` (option ``dilations``),
            ``conv1x1`` (no options), ``isa`` (``isa_channels``, ``down_factor``,
            ``key_query_num_convs``).
        in_channels, channels, norm_cfg, act_cfg: Passed on to the module.

    Raises:
        ValueError: Unknown type or option.
    """
    options = dict(cfg)
    kind = options.pop('type', None)
    if kind not in FUSIONS:
        raise ValueError(f"fusion type must be one of {', '.join(FUSIONS)}, got {kind!r}")
    builder = FUSIONS[kind]
    # refuses options that are no arguments of the builder
    check_options(builder, options, f'fusion {kind!r}',
                  skip=('in_channels', 'channels', 'norm_cfg', 'act_cfg'))
    return builder(in_channels, channels, norm_cfg, act_cfg, **options)
