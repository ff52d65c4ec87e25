"""Mix Transformer (MiT), the encoder of SegFormer, DAFormer and HRDA, with the papers' numbers.

Written from the description of the network; parameter names are those of mmseg's
``MixVisionTransformer``, so its checkpoints load as they are and the original ones after
:mod:`mmseg_dg.weights.official_names`. Unlike mmseg's class: LayerNorm eps is 1e-5 in the patch
embeddings and behind the spatial reduction (1e-6 elsewhere), drop path is 0.1 unless asked
otherwise, q/k/v get the same random start as every other linear layer, and attention never
materializes its weights.

Shapes: B images, M tokens of keys and values, N tokens, C channels, H x W pixels, h x w places of a
smaller map.
"""
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmseg_dg.ops.convolution import FastConv2d
from mmseg_dg.ops.recompute import recomputed
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.official_names import from_official_backbone

from .drop_path import DropPath, drop_path_rates
from .encoder_options import EncoderOptions
from .style_hallucination import StyleHallucination

# stage widths are embed_dims * heads: 32/64/160/256 for b0, 64/128/320/512 for the others
_NUM_HEADS = (1, 2, 5, 8)
_ARCHS = {
    'b0': (32, (2, 2, 2, 2)),
    'b1': (64, (2, 2, 2, 2)),
    'b2': (64, (3, 4, 6, 3)),
    'b3': (64, (3, 4, 18, 3)),
    'b4': (64, (3, 8, 27, 3)),
    'b5': (64, (3, 6, 40, 3)),
}
_REDUCED_EPS = 1e-5  # norms of patch embedding and spatial reduction
_BLOCK_EPS = 1e-6  # norm1, norm2 of each block and the norm that ends a stage


class PackedAttention(nn.Module):
    """Scaled dot-product attention with the parameter names of ``nn.MultiheadAttention`` (q, k, v
    in one matrix).
    """
    def __init__(self, dims: int, num_heads: int, bias: bool = True, dropout: float = 0.) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dims, dims))  # rows of q, k, then v
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dims)) if bias else None
        self.out_proj = nn.Linear(dims, dims)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random start: weights truncated normal of deviation 0.02, biases 0."""
        for weight, bias in ((self.in_proj_weight, self.in_proj_bias), (self.out_proj.weight,
                                                                        self.out_proj.bias)):
            nn.init.trunc_normal_(weight, std=0.02)
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """Attend from ``query`` (B, N, C) to ``memory`` (B, M, C); returns (B, N, C)."""
        batch, length, dims = query.shape
        q_weight, kv_weight = self.in_proj_weight.split((dims, 2 * dims))
        q_bias, kv_bias = (None, None) if self.in_proj_bias is None else self.in_proj_bias.split(
            (dims, 2 * dims))
        # (B, N, heads * d) -> (B, heads, N, d)
        q = F.linear(query, q_weight, q_bias).view(batch, length, self.num_heads,
                                                   -1).transpose(1, 2)
        # (B, M, 2 C) -> (B, M, 2, heads, d)
        kv = F.linear(memory, kv_weight, kv_bias).view(batch, memory.shape[1], 2, self.num_heads,
                                                       -1)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # two of (B, heads, M, d)
        out = F.scaled_dot_product_attention(q, k, v,
                                             dropout_p=self.dropout if self.training else 0.)
        # (B, heads, N, d) -> (B, N, C)
        return self.out_proj(out.transpose(1, 2).reshape(batch, length, dims))


class EfficientAttention(nn.Module):
    """Self-attention whose keys and values come from a map reduced by a strided convolution; its
    result is a branch, to which the block adds its input."""
    def __init__(self, dims: int, num_heads: int, sr_ratio: int, qkv_bias: bool, attn_drop: float,
                 proj_drop: float, drop_path: float) -> None:
        super().__init__()
        self.sr_ratio = sr_ratio
        self.attn = PackedAttention(dims, num_heads, qkv_bias, attn_drop)
        self.proj_drop = nn.Dropout(proj_drop)
        self.dropout_layer = DropPath(drop_path)
        if sr_ratio > 1:
            self.sr = nn.Conv2d(dims, dims, sr_ratio, sr_ratio)
            self.norm = nn.LayerNorm(dims, eps=_REDUCED_EPS)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Tokens (B, N, C) of a map of ``hw`` = (H, W), N = H * W -> the same shape."""
        memory = x
        if self.sr_ratio > 1:
            if min(hw) < self.sr_ratio:
                raise ValueError(f'a feature map of {hw[0]}x{hw[1]} is smaller than the spatial '
                                 f'reduction {self.sr_ratio} of its stage: give the encoder larger '
                                 'images (at least 32x32)')
            memory = self.norm(_to_tokens(self.sr(_to_map(x, hw))))
        return self.dropout_layer(self.proj_drop(self.attn(x, memory)))


class MixFFN(nn.Module):
    """Feed-forward network with a 3x3 depth-wise convolution in the middle; its linear layers are
    1x1 convolutions.

    The backward pass makes the activated hidden map again, the largest map of a block, from the one
    before the activation; under activation checkpointing (``with_cp``), which drops both, it need
    not.
    """
    def __init__(self, dims: int, hidden: int, drop: float, drop_path: float,
                 with_cp: bool = False) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.layers = nn.Sequential(FastConv2d(dims, hidden, 1),
                                    nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
                                    nn.GELU(), nn.Dropout(drop), FastConv2d(hidden, dims, 1),
                                    nn.Dropout(drop))
        self.dropout_layer = DropPath(drop_path)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Tokens (B, N, C) of a map of ``hw`` = (H, W) -> the same shape."""
        widen, mix, activate, drop, narrow, last = self.layers
        hidden = mix(widen(_to_map(x, hw)))
        active = drop(activate(hidden))
        # to save memory, ``narrow`` does not keep ``active`` for its backward pass, but a function
        # that computes it again; not with dropout, which would draw anew, and not with with_cp,
        # where the whole block is computed again
        saving: AbstractContextManager = nullcontext()
        if not self.with_cp and (drop.p == 0 or not self.training):
            constant = hidden.detach()
            saving = recomputed(active, lambda: activate(constant))
        with saving:
            out = narrow(active)
        return self.dropout_layer(_to_tokens(last(out)))


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + ffn(norm(x))``, with drop path on both branches."""
    def __init__(self, dims: int, num_heads: int, sr_ratio: int, mlp_ratio: float, qkv_bias: bool,
                 drop: float, attn_drop: float, drop_path: float, with_cp: bool) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(dims, eps=_BLOCK_EPS)
        self.attn = EfficientAttention(dims, num_heads, sr_ratio, qkv_bias, attn_drop, drop,
                                       drop_path)
        self.norm2 = nn.LayerNorm(dims, eps=_BLOCK_EPS)
        self.ffn = MixFFN(dims, int(mlp_ratio * dims), drop, drop_path, with_cp)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Tokens (B, N, C) of a map of ``hw`` = (H, W) -> the same shape."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self._forward, x, hw, use_reentrant=False)
        return self._forward(x, hw)

    def _forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """:meth:`forward` without recomputation."""
        x = x + self.attn(self.norm1(x), hw)
        return x + self.ffn(self.norm2(x), hw)


class OverlapPatchEmbed(nn.Module):
    """Strided convolution whose windows overlap, then LayerNorm over channels."""
    def __init__(self, in_channels: int, dims: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, dims, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(dims, eps=_REDUCED_EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, C_in, H, W) -> tokens (B, h * w, C) and (h, w)."""
        x = self.projection(x)
        return self.norm(_to_tokens(x)), (x.shape[2], x.shape[3])


def _to_map(x: Tensor, hw: tuple[int, int]) -> Tensor:
    """(B, H*W, C) -> (B, C, H, W)"""
    # (B, N, C) -> (B, C, N) -> (B, C, H, W)
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *hw)


def _to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H*W, C)"""
    return x.flatten(2).transpose(1, 2).contiguous()  # (B, C, N) -> (B, N, C)


@MODELS.register_module()
class MixTransformer(EncoderOptions, BaseModule):
    """Hierarchical transformer encoder of SegFormer (Xie et al., 2021), as DAFormer and HRDA use
    it.

    Checked against the outputs, gradients and parameter shapes recorded from the official code.

    Args:
        arch: ``'b0'`` to ``'b5'``: fills ``embed_dims``, ``num_layers`` and ``num_heads`` where
            these are None. With ``arch=None`` all three must be given.
        in_channels: Channels of the image.
        embed_dims: Width per head of all stages (an int; stage widths are ``embed_dims *
            num_heads[i]``, mmseg's convention) or the widths of the stages.
        num_layers: Blocks per stage.
        num_heads: Attention heads per stage.
        patch_sizes, strides: Kernel and stride of each stage's patch embedding; padding is half the
            kernel.
        sr_ratios: Spatial reduction of keys and values per stage.
        out_indices: Stages whose maps are returned.
        mlp_ratio: Hidden width of the feed-forward network over the stage width.
        qkv_bias: Whether q, k and v have a bias.
        drop_rate: Dropout after the attention projection and in the feed-forward network.
        attn_drop_rate: Dropout on the attention weights.
        drop_path_rate: Drop path of the last block; it grows linearly from exactly 0 in the first
            one.
        with_cp: Recompute the activations of each block in the backward pass instead of keeping
            them.
        style_hallucination: Arguments of :class:`StyleHallucination`, which in training appends
            stylized copies to the output of stage 1, so that all outputs have twice the batch;
            None: not. Train such an encoder with the method ``DomainGeneralization``.
        trainable, lora, extra_channels: See :class:`EncoderOptions`; adapters are refused (no
            linear projections of the queries).
        init_cfg: None for the paper's random initialization (truncated normal 0.02 for linear
            layers; normal with std sqrt(2 / fan_out) for convolutions). ``dict(type='Pretrained',
            checkpoint=FILE)`` loads a backbone in mmseg's or the original key layout and fails if a
            tensor is missing or left over.

    Raises:
        ValueError: Unknown ``arch``, missing or inconsistent dimensions, or a checkpoint that does
            not fit.
        FileNotFoundError: ``init_cfg`` names a local file that does not exist (on
            ``init_weights()``).
    """

    input_layer = 'layers.0.0.projection'

    def __init__(self, arch: Optional[str] = 'b5', in_channels: int = 3,
                 embed_dims: Union[int, Sequence[int],
                                   None] = None, num_layers: Optional[Sequence[int]] = None,
                 num_heads: Optional[Sequence[int]] = None,
                 patch_sizes: Sequence[int] = (7, 3, 3, 3), strides: Sequence[int] = (4, 2, 2, 2),
                 sr_ratios: Sequence[int] = (8, 4, 2, 1), out_indices: Sequence[int] = (0, 1, 2, 3),
                 mlp_ratio: float = 4, qkv_bias: bool = True, drop_rate: float = 0.,
                 attn_drop_rate: float = 0., drop_path_rate: float = 0.1, with_cp: bool = False,
                 style_hallucination: Optional[dict] = None, trainable: str = 'all',
                 lora: Optional[Mapping] = None, extra_channels: str = 'zeros',
                 init_cfg: Union[dict, list[dict], None] = None) -> None:
        super().__init__(init_cfg)
        dims, num_layers, num_heads = _dimensions(arch, embed_dims, num_layers, num_heads)
        stages = len(dims)
        lengths = {len(v) for v in (num_layers, num_heads, patch_sizes, strides, sr_ratios)}
        if lengths != {stages}:
            raise ValueError(f'embed_dims describes {stages} stages, but num_layers, num_heads, '
                             f'patch_sizes, strides and sr_ratios have {sorted(lengths)} entries: '
                             'give one entry per stage to each')
        if not out_indices or not all(0 <= i < stages for i in out_indices):
            raise ValueError(f'out_indices {tuple(out_indices)} must name stages 0..{stages - 1}')
        self.stage_dims = tuple(dims)
        self.out_indices = tuple(out_indices)
        block = partial(Block, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, drop=drop_rate,
                        attn_drop=attn_drop_rate, with_cp=with_cp)
        rates = iter(drop_path_rates(drop_path_rate, sum(num_layers)))  # one per block, rising
        self.layers = nn.ModuleList()
        for i, width in enumerate(dims):
            self.layers.append(
                nn.ModuleList([
                    OverlapPatchEmbed(dims[i - 1] if i else in_channels, width, patch_sizes[i],
                                      strides[i]),
                    nn.ModuleList(
                        block(width, num_heads[i], sr_ratios[i], drop_path=next(rates))
                        for _ in range(num_layers[i])),
                    nn.LayerNorm(width, eps=_BLOCK_EPS),
                ]))
        self.style_hallucination: Optional[StyleHallucination] = None
        if style_hallucination is not None:
            self.style_hallucination = StyleHallucination(dims[0], **style_hallucination)
        self.set_options(trainable, lora, extra_channels)

    def init_weights(self) -> None:
        """Fill the parameters as ``init_cfg`` says (see the class)."""
        if self.init_cfg is None:
            for module in self.modules():
                _init_scratch(module)
        elif isinstance(self.init_cfg, dict) and self.init_cfg.get('type') == 'Pretrained':
            self._load_pretrained(self.init_cfg['checkpoint'], self.init_cfg.get('prefix'))
        else:
            super().init_weights()
        self._is_init = True  # mmengine's mark of a module whose weights are initialized

    def _load_pretrained(self, source: str, prefix: Optional[str]) -> None:
        """Fill the encoder from a file in the official or in this package's layout, all tensors or
        none (ValueError); ``prefix``: how the encoder's names begin in the file.
        """
        if '://' not in source and not os.path.isfile(source):
            raise FileNotFoundError(
                f'no pretrained weights at {source}: put the file there (tools/prepare_weights.py '
                'says what to get), or set init_cfg=None in the backbone for a random start')
        state = CheckpointLoader.load_checkpoint(source, map_location='cpu', logger='current')
        state = state.get('state_dict', state)
        if prefix:
            prefix = prefix.rstrip('.') + '.'
            state = {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}
        try:
            self.load_state_dict(from_official_backbone(state))
        except (RuntimeError, ValueError) as error:
            raise ValueError(f'{source} does not fit this MixTransformer (stage widths '
                             f'{self.stage_dims}); check `arch` and the file: {error}') from error
        print_log(f'backbone: all {len(self.state_dict())} tensors loaded from {source}',
                  logger='current')

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images.

        Args:
            x: Normalized images (B, in_channels, H, W), any float dtype, H and W of at least 29;
                they need not be multiples of anything: each stage rounds its size up.

        Returns:
            One map (B, C_i, ceil(H / s), ceil(W / s)) per entry of ``out_indices``, strides s = 4,
            8, 16, 32; 2B of them in training with style hallucination.
        """
        outs = []
        for i in range(len(self.layers)):
            x = self._stage(i, x)
            if i == 0 and self.style_hallucination is not None:
                x = self.style_hallucination(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def style_maps(self, x: Tensor) -> Tensor:
        """Maps (B, C, H / 4, W / 4) whose channel statistics are an image's style: the output of
        stage 1, not stylized.
        """
        return self._stage(0, x)

    def _stage(self, index: int, x: Tensor) -> Tensor:
        """One stage: (B, C, H, W) -> (B, C', h, w)."""
        stage = self.layers[index]
        assert isinstance(stage, nn.ModuleList)
        embed, blocks, norm = stage
        assert isinstance(blocks, nn.ModuleList)
        x, hw = embed(x)  # tokens (B, N, C') and (h, w)
        for block in blocks:
            x = block(x, hw)
        # contiguous, as in the official code: some layers of stock decoders are slow otherwise
        return _to_map(norm(x), hw).contiguous()


#: Width, depth and number of heads of each stage.
_Sizes = tuple[Sequence[int], Sequence[int], Sequence[int]]


def _dimensions(arch: Optional[str], embed_dims: Union[int, Sequence[int], None],
                num_layers: Optional[Sequence[int]], num_heads: Optional[Sequence[int]]) -> _Sizes:
    """Width, depth and heads of the stages (a sequence each, one entry per stage): those of
    ``arch``, each of them replaced where it is given; ValueError where one is not known.
    """
    if arch is not None:
        if arch not in _ARCHS:
            raise ValueError(f"arch must be one of {', '.join(_ARCHS)} or None, got {arch!r}")
        width, depths = _ARCHS[arch]
        embed_dims = width if embed_dims is None else embed_dims
        num_layers = depths if num_layers is None else num_layers
        num_heads = _NUM_HEADS if num_heads is None else num_heads
    if embed_dims is None or num_layers is None or num_heads is None:
        raise ValueError('arch=None needs embed_dims, num_layers and num_heads')
    dims = [embed_dims * h for h in num_heads] if isinstance(embed_dims, int) else list(embed_dims)
    for width, heads in zip(dims, num_heads):
        if width % heads:
            raise ValueError(f'a stage width of {width} cannot be split into {heads} heads')
    return dims, num_layers, num_heads


def _init_scratch(module: nn.Module) -> None:
    """Random start of one module as in SegFormer's code; other kinds of modules are left alone."""
    if isinstance(module, PackedAttention):
        module.reset_parameters()
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[
            1] * module.out_channels // module.groups
        # 1x1: the two outer layers of MixFFN, which are linear layers in the paper's code
        if module.kernel_size == (1, 1):
            nn.init.trunc_normal_(module.weight, std=0.02)
        else:
            nn.init.normal_(module.weight, std=math.sqrt(2. / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
