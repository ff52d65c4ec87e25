"""TinyViT: convolutions, then attention in windows; a small encoder distilled from large ones.

Shapes: B images, N tokens of a window, C channels, H x W pixels.
"""
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmseg_dg.registry import MODELS

from .drop_path import DropPath, drop_path_rates
from .encoder_options import EncoderOptions

#: channels, heads, depths of the four stages.
ARCHITECTURES = {
    '5m': ((64, 128, 160, 320), (2, 4, 5, 10), (2, 2, 6, 2)),
    '11m': ((64, 128, 256, 448), (2, 4, 8, 14), (2, 2, 6, 2)),
    '21m': ((96, 192, 384, 576), (3, 6, 12, 18), (2, 2, 6, 2)),
}


class ConvNorm(nn.Sequential):
    """Convolution without bias (``c``) and BatchNorm (``bn``), whose scale starts at ``start``."""
    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1,
                 start: float = 1.) -> None:
        super().__init__()
        self.add_module(
            'c', nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False))
        norm = nn.BatchNorm2d(out)
        nn.init.constant_(norm.weight, start)
        self.add_module('bn', norm)


class PatchEmbed(nn.Module):
    """Two convolutions of stride 2: (B, C, H, W) -> (B, D, ceil(H / 4), ceil(W / 4))."""
    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(channels, dims // 2, 3, 2), nn.GELU(),
                                 ConvNorm(dims // 2, dims, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, ceil(H / 4), ceil(W / 4))."""
        return self.seq(x)


class ConvBlock(nn.Module):
    """Inverted residual: 1x1 to four times the width, 3x3 per channel, 1x1 back; GELU after the
    sum."""
    def __init__(self, dims: int, drop_path: float) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dims, 4 * dims)
        self.conv2 = ConvNorm(4 * dims, 4 * dims, 3, groups=4 * dims)
        self.conv3 = ConvNorm(4 * dims, dims, start=0.)  # the block starts as gelu(x)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        inner = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.drop_path(self.conv3(inner)))


class Downsample(nn.Module):
    """1x1, 3x3 per channel with the stride, 1x1."""
    def __init__(self, dims: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dims, out)
        self.conv2 = ConvNorm(out, out, 3, stride, groups=out)
        self.conv3 = ConvNorm(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, ceil(H / stride), ceil(W / stride))."""
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Attention within a window, with a learned bias per head and distance (|dy|, |dx|)."""
    bias_index: Tensor

    def __init__(self, dims: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dims)
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        # (side, side) each
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
        y, x = y.flatten(), x.flatten()  # (side, side) -> (side ** 2,) each
        # (side ** 2, side ** 2): pairs at one distance share a bias
        index = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer('bias_index', index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B', window ** 2, C) -> the same shape."""
        b, n, c = x.shape
        # the q, k and v of one head lie side by side (not all q, then all k, then all v):
        # (B', N, heads, 3 d) -> three (B', heads, N, d)
        q, k, v = self.qkv(self.norm(x)).view(b, n, self.heads, -1).transpose(1, 2).chunk(3, dim=-1)
        # (heads, side ** 2, side ** 2)
        bias = self.attention_biases[:, self.bias_index].to(q.dtype)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return self.proj(x.transpose(1, 2).reshape(b, n, c))  # (B', heads, N, d) -> (B', N, C)


class Mlp(nn.Module):
    """LayerNorm, then two layers with a GELU between them."""
    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dims)
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B', window ** 2, C) -> the same shape."""
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class WindowBlock(nn.Module):
    """Attention in windows, a 3x3 convolution per channel, feed-forward.

    Maps are padded with zeros at the right and below to whole windows; the padding takes part in
    the attention, as in the published code.
    """
    def __init__(self, dims: int, heads: int, window: int, drop_path: float) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dims, heads, window)
        self.mlp = Mlp(dims, 4 * dims)
        self.local_conv = ConvNorm(dims, dims, 3, groups=dims)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape."""
        x = x + self.drop_path(self._attend(x))
        x = self.local_conv(x).permute(0, 2, 3, 1)  # (B, H, W, C)
        return (x + self.drop_path(self.mlp(x))).permute(0, 3, 1, 2)  # (B, C, H, W)

    def _attend(self, x: Tensor) -> Tensor:
        """Attention within windows, (B, C, H, W) -> the same shape; the map is padded to whole
        windows.
        """
        b, c, h, w = x.shape
        side = self.window
        rows, columns = (h + side - 1) // side, (w + side - 1) // side
        x = F.pad(x, (0, columns * side - w, 0, rows * side - h))
        # (B, C, rows * side, columns * side) -> (B * rows * columns, side ** 2, C)
        windows = x.view(b, c, rows, side, columns, side).permute(0, 2, 4, 3, 5,
                                                                  1).reshape(-1, side * side, c)
        # (B * rows * columns, side ** 2, C) -> (B, rows, columns, side, side, C)
        windows = self.attn(windows).view(b, rows, columns, side, side, c)
        # (B, rows, columns, side, side, C) -> (B, C, rows * side, columns * side)
        x = windows.permute(0, 5, 1, 3, 2, 4).reshape(b, c, rows * side, columns * side)
        return x[:, :, :h, :w]


class Stage(nn.Module):
    """Blocks and, but for the last stage, what leads to the next."""
    def __init__(self, blocks: Sequence[nn.Module], downsample: Optional[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if downsample is not None:
            self.downsample = downsample


@MODELS.register_module()
class TinyViT(EncoderOptions, BaseModule):
    """TinyViT (Wu et al., ECCV 2022) as an encoder of maps, with the names of its original files.

    With ``last_stride=1`` it is the image encoder of MobileSAM (Zhang et al., 2023), distilled from
    SAM's ViT-H: maps at strides 4, 8, 16, 16 (``prepare_weights tinyvit_5m_sam``). Maps are those
    of the stages' last blocks, before the downsampling. Any image size. Facts:
    docs/behavior/foundation_encoders.md#tinyvit. Compared with mmpretrain's network on copied
    weights.

    Args:
        arch: ``5m``, ``11m``, ``21m``, or a dict with ``channels``, ``heads`` and ``depths`` (four
            each).
        windows: Sides of the windows per stage; the first stage has none.
        last_stride: Of the last downsampling: 1 (MobileSAM) or 2 (the classifier; strides 4, 8, 16,
            32).
        out_indices: Stages whose maps are given.
        in_channels: Channels of the image.
        norm_eval: Keep BatchNorm (27 layers in ``5m``) on its running statistics in training.
        drop_path_rate: Stochastic depth of the last block, rising from 0.
        with_cp: Recompute each block in the backward pass instead of keeping its activations.
        trainable, lora, extra_channels: See :class:`EncoderOptions`.
        init_cfg: None: random; ``dict(type='Pretrained', checkpoint=FILE)`` fills every tensor or
            fails.

    Raises:
        ValueError: Unknown values, or a file that does not fit.
    """

    input_layer = 'patch_embed.seq.0.c'
    packed_qkv = False

    def __init__(self, arch: Union[str, Mapping] = '5m', windows: Sequence[int] = (7, 7, 14, 7),
                 last_stride: int = 1, out_indices: Sequence[int] = (0, 1, 2, 3),
                 in_channels: int = 3, norm_eval: bool = False, drop_path_rate: float = 0.,
                 with_cp: bool = False, trainable: str = 'all', lora: Optional[Mapping] = None,
                 extra_channels: str = 'zeros', init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        channels, heads, depths = _architecture(arch)
        if last_stride not in (1, 2) or not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(f'TinyViT: last_stride={last_stride} must be 1 or 2, '
                             f'out_indices={tuple(out_indices)} must name stages 0..3')
        self.out_indices, self.norm_eval, self.with_cp = tuple(out_indices), norm_eval, with_cp
        self.out_channels = tuple(channels[i] for i in out_indices)
        strides = (4, 8, 16, 16 * last_stride)
        self.strides = tuple(strides[i] for i in out_indices)
        # read by the export: up to this side in pixels some stage has a single window, and a graph
        # that is traced on larger images holds for any number of windows
        self.window_reach = max(stride * window for stride, window in zip(strides[1:], windows[1:]))
        self.patch_embed = PatchEmbed(in_channels, channels[0])
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        self.layers = nn.ModuleList()
        for i, dims in enumerate(channels):
            blocks = [
                ConvBlock(dims, next(rates)) if i == 0 else WindowBlock(
                    dims, heads[i], windows[i], next(rates)) for _ in range(depths[i])
            ]
            down = None
            if i < 3:  # leads to the next stage
                down = Downsample(dims, channels[i + 1], last_stride if i == 2 else 2)
            self.layers.append(Stage(blocks, down))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.set_options(trainable, lora, extra_channels)

    def train(self, mode: bool = True) -> 'TinyViT':
        """Training mode; with ``norm_eval`` BatchNorm stays on its running statistics."""
        super().train(mode)
        if self.norm_eval and self.training:  # super() has just set every layer's mode
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, in_channels, H, W) -> one map per entry of ``out_indices``; each stride rounds
        sizes up."""
        maps = {}
        x = self.patch_embed(x)
        for i, stage in enumerate(self._stages()):
            for block in stage.blocks:
                if self.with_cp and self.training and torch.is_grad_enabled():
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
            maps[i] = x.contiguous()  # decoders are slow on other layouts
            if i == max(self.out_indices):
                break
            x = stage.downsample(x)
        return tuple(maps[i] for i in self.out_indices)

    def _stages(self) -> Iterator[Stage]:
        """The stages in order. All ``layers`` are stages; the check is there for mypy."""
        return (stage for stage in self.layers if isinstance(stage, Stage))

    def init_weights(self) -> None:
        """Fill the parameters as ``init_cfg`` says (see the class)."""
        if isinstance(self.init_cfg, dict) and self.init_cfg.get('type') == 'Pretrained':
            # a classifier's file has its head and final norm besides
            self.load_file(self.init_cfg['checkpoint'], self.init_cfg.get('prefix'),
                           optional=('head.', 'norm_head.'))
        elif self.init_cfg is not None:  # None: the random start of __init__ stays
            super().init_weights()
        self.start_adapters()
        self._is_init = True  # mmengine's mark of a module whose weights are initialized

    def adapted_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file in the original layout for this number of channels."""
        if any(key.startswith(('stages.', 'image_encoder.')) for key in state):
            raise ValueError(
                'TinyViT reads the original names (patch_embed.seq.0.c.weight, '
                f'layers.0.blocks...), but these tensors are called {sorted(state)[:3]}: convert '
                'the file with prepare_weights')
        return super().adapted_state(state)

    def layer_depth(self, name: str) -> int:
        """How often a layer-wise decay is applied to the learning rate of the parameter ``name``
        (of this encoder): 0 in the last of all N blocks, N - 1 in the first, N in the stem; a
        downsampling counts with the block before it.
        """
        depths = [len(stage.blocks) for stage in self._stages()]
        if not name.startswith('layers.'):
            return sum(depths)
        _, stage, part, *rest = name.split('.')
        # names are layers.<stage>.blocks.<block>... or layers.<stage>.downsample...
        inside = int(rest[0]) if part == 'blocks' else depths[int(stage)] - 1
        # N - 1 minus the number of the block, counted over all stages
        return sum(depths) - 1 - sum(depths[:int(stage)]) - inside


def _architecture(arch: Union[str, Mapping]) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Channels, heads and depths of the four stages, by name or from a dict; ValueError if it does
    not give them.
    """
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(
                f'TinyViT: arch={arch!r}: use one of {", ".join(ARCHITECTURES)}, or a dict with '
                'channels, heads and depths')
        return ARCHITECTURES[arch]
    if set(arch) != {'channels', 'heads', 'depths'} or {len(v) for v in arch.values()} != {4}:
        raise ValueError(
            f'TinyViT: arch={dict(arch)}: give channels, heads and depths, four numbers each')
    return arch['channels'], arch['heads'], arch['depths']
