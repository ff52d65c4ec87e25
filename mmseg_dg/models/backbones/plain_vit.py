"""The plain Vision Transformer of DINOv2: one width, one stride, maps of chosen blocks.

Shapes: B images, N tokens, C channels, D channels of a token, H x W pixels, h x w places of a
smaller map.
"""
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmseg_dg.registry import MODELS
from mmseg_dg.weights.vit_names import layout_of

from .drop_path import DropPath, drop_path_rates
from .encoder_options import EncoderOptions
from .token_sizes import check_resize, fit_size, interpolate_positions, resample_kernel, target_size


class Architecture(NamedTuple):
    """Sizes of a plain ViT: width, blocks, heads, feed-forward kind, and the blocks whose maps
    heads use."""
    embed_dims: int
    num_layers: int
    num_heads: int
    ffn: str = 'mlp'
    out_indices: tuple[int, ...] = ()


ARCHITECTURES = {
    'small': Architecture(384, 12, 6, 'mlp', (2, 5, 8, 11)),
    'base': Architecture(768, 12, 12, 'mlp', (2, 5, 8, 11)),
    'large': Architecture(1024, 24, 16, 'mlp', (4, 11, 17, 23)),
    'giant': Architecture(1536, 40, 24, 'swiglu', (9, 19, 29, 39)),
}


class Attention(nn.Module):
    """Multi-head self-attention by ``scaled_dot_product_attention``; names as in DINOv2."""
    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) -> the same shape."""
        b, n, c = x.shape
        # (B, N, 3 C) -> (3, B, heads, N, C / heads)
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)
        # (B, heads, N, C / heads) -> (B, N, C)
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    """Two layers with a GELU between them."""
    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden)
        self.fc2 = nn.Linear(hidden, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwiGLU(nn.Module):
    """``w3(silu(a) * b)`` with ``[a, b] = w12 x``: the feed-forward network of the arch ``giant``.

    ``hidden`` is the width that an MLP would have; the inner width is two thirds of it, rounded up
    to a multiple of 8, as in DINOv2.
    """
    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(dims, 2 * hidden)
        self.w3 = nn.Linear(hidden, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> the same shape."""
        a, b = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(a) * b)


class LayerScale(nn.Module):
    """A learned factor per channel."""
    def __init__(self, dims: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dims, ), value))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> the same shape."""
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each scaled per channel."""
    def __init__(self, dims: int, heads: int, hidden: int, ffn: str, layer_scale: float,
                 drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=1e-6)
        self.attn = Attention(dims, heads)
        self.ls1 = LayerScale(dims, layer_scale)
        self.norm2 = nn.LayerNorm(dims, eps=1e-6)
        self.mlp = (SwiGLU if ffn == 'swiglu' else Mlp)(dims, hidden)
        self.ls2 = LayerScale(dims, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> the same shape."""
        x = x + self.drop_path(self.ls1(self.attn(self.norm1(x))))
        return x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))


class PatchEmbed(nn.Module):
    """Non-overlapping patches, one vector each."""
    def __init__(self, channels: int, dims: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dims, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h * w, D)."""
        return self.proj(x).flatten(2).transpose(1, 2)  # (B, D, h, w) -> (B, h * w, D)


@MODELS.register_module()
class PlainViT(EncoderOptions, BaseModule):
    """DINOv2's Vision Transformer (Oquab et al., TMLR 2024) as an encoder of maps.

    Parameter names are those of the official files, so that they load as they are
    (``prepare_weights dinov2_small``). Facts and sources:
    docs/behavior/foundation_encoders.md#the-plain-vision-transformer. Compared with mmpretrain's
    and timm's networks on copied weights.

    Args:
        arch: ``small``, ``base``, ``large``, ``giant``, or a dict of :class:`Architecture` for
            other sizes.
        patch_size: Side of a patch, 14 as in the files. Another one (16 keeps crops of 512 and
            1024) needs ``patch_resample``.
        in_channels: Channels of the image.
        registers: Register tokens: 4 for the files ``*_reg4_*`` (Darcet et al., ICLR 2024), else 0.
        out_indices: Blocks whose maps are given, from 0, negative ones from the end; None: the four
            that heads of four levels use.
        final_norm: Apply the final LayerNorm to **each** map (UniMatch V2); False: to none (Rein,
            EVA-02's use).
        resize: What happens to sides that ``patch_size`` does not divide: None (refused),
            ``'multiple'``, ``'scale'`` (:func:`mmseg_dg.models.backbones.token_sizes.target_size`).
            Maps have the grid of the resized image; heads bring logits back to the labels' size.
        scale_factor: Of ``resize='scale'``.
        patch_resample: How filters of a file with another patch size are resampled: ``'bicubic'``,
            ``'pi'``; None: such a file is refused.
        pos_grid: Side of the stored grid of positions: 37 for 518 pixels.
        pos_offset: Of :func:`interpolate_positions`; None: 0.1 without registers, 0 with them, as
            published.
        pos_antialias: Likewise; None: False without registers, True with them.
        layer_scale: Start of the factors per channel without a file.
        drop_path_rate: Stochastic depth of the last block, rising from 0.
        with_cp: Recompute each block in the backward pass instead of keeping its activations.
        trainable, lora, extra_channels: See :class:`EncoderOptions`.
        init_cfg: None: random; ``dict(type='Pretrained', checkpoint=FILE)`` fills every tensor or
            fails.

    Raises:
        ValueError: Unknown values; sizes that the policy forbids; a file of another layout, size or
            patch size.
    """

    input_layer = 'patch_embed.proj'
    grid_argument = 'pos_grid={side}'

    def __init__(self, arch: Union[str,
                                   Mapping] = 'small', patch_size: int = 14, in_channels: int = 3,
                 registers: int = 0, out_indices: Optional[Sequence[int]] = None,
                 final_norm: bool = True, resize: Optional[str] = None, scale_factor: float = 1.1,
                 patch_resample: Optional[str] = None, pos_grid: int = 37,
                 pos_offset: Optional[float] = None, pos_antialias: Optional[bool] = None,
                 layer_scale: float = 1e-5, drop_path_rate: float = 0., with_cp: bool = False,
                 trainable: str = 'all', lora: Optional[Mapping] = None,
                 extra_channels: str = 'zeros', init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.arch = _architecture(arch)
        check_resize(resize, scale_factor, 'PlainViT')
        if patch_resample not in (None, 'bicubic', 'pi'):
            raise ValueError(
                f"PlainViT: patch_resample={patch_resample!r}: use 'bicubic', 'pi' or None")
        dims, count = self.arch.embed_dims, self.arch.num_layers
        self.patch_size, self.final_norm, self.with_cp = patch_size, final_norm, with_cp
        self.resize, self.scale_factor, self.patch_resample = resize, scale_factor, patch_resample
        # as the published models were used: an offset of 0.1 without antialiasing; those with
        # registers none, with antialiasing
        self.pos_offset = (0. if registers else 0.1) if pos_offset is None else pos_offset
        self.pos_antialias = bool(registers) if pos_antialias is None else pos_antialias
        self.out_indices = _indices(self.arch.out_indices if out_indices is None else out_indices,
                                    count)
        self.embed_dims = dims
        self.out_channels = (dims, ) * len(self.out_indices)
        self.strides = (patch_size, ) * len(self.out_indices)

        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, pos_grid**2 + 1, dims))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, dims)) if registers else None
        self.mask_token = nn.Parameter(torch.zeros(1, dims))
        self.patch_embed = PatchEmbed(in_channels, dims, patch_size)
        self.blocks = nn.ModuleList(
            Block(dims, self.arch.num_heads, 4 * dims, self.arch.ffn, layer_scale, rate)
            for rate in drop_path_rates(drop_path_rate, count))
        self.norm = nn.LayerNorm(dims, eps=1e-6)
        self.set_options(trainable, lora, extra_channels)

    # ------------------------------------------------------------------ forward
    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of the maps of an image of ``height`` x ``width`` pixels."""
        size = target_size((height, width), self.patch_size, self.resize, self.scale_factor,
                           'PlainViT')
        return size[0] // self.patch_size, size[1] // self.patch_size

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> tuple[Tensor, ...]:
        """Encode images.

        Args:
            x: Normalized images (B, in_channels, H, W).
            mask: bool (B, h, w) of :meth:`token_grid`: True where a patch is replaced by the mask
                token, before positions are added; None: nowhere.

        Returns:
            One map (B, D, h, w) per entry of ``out_indices``.
        """
        x = fit_size(x, self.patch_size, self.resize, self.scale_factor, 'PlainViT')
        grid = (x.shape[-2] // self.patch_size, x.shape[-1] // self.patch_size)
        tokens = self._embed(x, grid, mask)
        # prefix: class and register tokens, which have no place on the map
        maps, prefix = [], tokens.shape[1] - grid[0] * grid[1]
        for i, block in enumerate(self.blocks):
            if self.with_cp and torch.is_grad_enabled() and self.training:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
            if i in self.out_indices:
                kept = (self.norm(tokens) if self.final_norm else tokens)[:, prefix:]
                # (B, h * w, D) -> (B, D, h, w)
                maps.append(kept.transpose(1, 2).unflatten(2, grid).contiguous())
            if i == max(self.out_indices):
                break  # later blocks give no map that is asked for
        # maps came in the order of the blocks; the caller asked for that of out_indices
        order = sorted(set(self.out_indices))  # a block may be asked for twice
        return tuple(maps[order.index(i)] for i in self.out_indices)

    def _embed(self, x: Tensor, grid: tuple[int, int], mask: Optional[Tensor]) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, N, D): class token, registers, patches; masked
        patches get the mask token.
        """
        tokens = self.patch_embed(x)
        if mask is not None:
            if tuple(mask.shape) != (len(x), *grid):
                raise ValueError(
                    f'PlainViT: mask of shape {tuple(mask.shape)}, expected {(len(x), *grid)}, one '
                    'value per patch (token_grid)')
            # one value per patch, (B, h, w) -> (B, h * w, 1), against tokens (B, h * w, D)
            tokens = torch.where(
                mask.flatten(1)[..., None], self.mask_token.to(tokens.dtype), tokens)
        patches = interpolate_positions(self.pos_embed[:, 1:], grid, self.pos_offset,
                                        self.pos_antialias)
        # the class token and its position, which is the first of pos_embed: (B, 1, D)
        first = [(self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)]
        if self.register_tokens is not None:  # they have no position
            first.append(self.register_tokens.expand(x.shape[0], -1, -1))
        return torch.cat([*first, tokens + patches], dim=1)

    # ------------------------------------------------------------------ weights and rates
    def init_weights(self) -> None:
        """Fill the parameters as ``init_cfg`` says (see the class)."""
        if self.init_cfg is None:
            self._start_randomly()
        elif isinstance(self.init_cfg, dict) and self.init_cfg.get('type') == 'Pretrained':
            self.load_file(self.init_cfg['checkpoint'], self.init_cfg.get('prefix'),
                           optional=('mask_token', 'head.'))
        else:
            super().init_weights()
        self.start_adapters()
        self._is_init = True  # mmengine's mark of a module whose weights are initialized

    def _start_randomly(self) -> None:
        """Random weights as in DINOv2's code: positions and linear layers from a normal
        distribution of deviation 0.02, cut off; class and register tokens of deviation 1e-6."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for token in (self.cls_token, self.register_tokens):
            if token is not None:
                nn.init.normal_(token, std=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def adapted_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file in DINOv2's layout, with the filters of the patch embedding resampled
        to this patch size and number of channels.

        Raises:
            ValueError: Another layout, or another patch size without ``patch_resample``.
        """
        key = 'patch_embed.proj.weight'
        # files of this layout have at least one of the three names
        if not state.keys() & {key, 'pos_embed', 'blocks.0.attn.qkv.weight'}:
            other = layout_of(state)
            raise ValueError(
                'PlainViT reads the layout dinov2 (blocks.0.attn.qkv.weight, ...), but these '
                f'tensors have the layout {other}, such as {sorted(state)[:3]}: convert the file '
                'with prepare_weights')
        state = dict(state)
        if key in state and state[key].shape[-1] != self.patch_size:
            if self.patch_resample is None:
                raise ValueError(
                    f"the file has patches of {state[key].shape[-1]} pixels, PlainViT "
                    f"patch_size={self.patch_size}: set patch_size={state[key].shape[-1]}, or "
                    "patch_resample='bicubic' (or 'pi')")
            state[key] = resample_kernel(state[key], self.patch_size, self.patch_resample)
        return super().adapted_state(state)

    def layer_depth(self, name: str) -> int:
        """How often a layer-wise decay is applied to the learning rate of the parameter ``name``
        (of this encoder): n - 1 - i in block i of n, n for all else (patches, positions, tokens,
        and the final norm, which every map that is taken goes through).
        """
        count = len(self.blocks)
        # names are blocks.<block>...
        return count - 1 - int(name.split('.')[1]) if name.startswith('blocks.') else count


def _architecture(arch: Union[str, Mapping]) -> Architecture:
    """The sizes of a named architecture, or those of a dict with the fields of
    :class:`Architecture`; ``out_indices`` are never empty.

    Raises:
        ValueError: An unknown name or field, or sizes that do not fit.
    """
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ValueError(
                f'PlainViT: arch={arch!r}: use one of {", ".join(ARCHITECTURES)}, or a dict with '
                'embed_dims, num_layers and num_heads')
        return ARCHITECTURES[arch]
    unknown = set(arch) - set(Architecture._fields)
    if unknown or not {'embed_dims', 'num_layers', 'num_heads'} <= set(arch):
        raise ValueError(
            f'PlainViT: arch={dict(arch)}: give embed_dims, num_layers, num_heads, and no other '
            f'than {Architecture._fields}')
    sizes = Architecture(**arch)
    if sizes.embed_dims % sizes.num_heads or sizes.ffn not in ('mlp', 'swiglu'):
        raise ValueError(f"PlainViT: embed_dims={sizes.embed_dims} must be a multiple of "
                         f"num_heads={sizes.num_heads}, ffn={sizes.ffn!r} 'mlp' or 'swiglu'")
    return sizes if sizes.out_indices else sizes._replace(out_indices=quarters(sizes.num_layers))


def quarters(count: int) -> tuple[int, ...]:
    """Indices (from 0) of the last block of each quarter of ``count`` blocks: what heads of four
    levels take where nothing is published.
    """
    return tuple(max(round(count * k / 4) - 1, 0) for k in (1, 2, 3, 4))


def _indices(indices: Sequence[int], count: int) -> tuple[int, ...]:
    """Indices from 0, in the given order; negative ones count from the last of ``count`` blocks.

    Raises:
        ValueError: No index at all, or one that names no block.
    """
    result = tuple(i + count if i < 0 else i for i in indices)
    if not result or not all(0 <= i < count for i in result):
        raise ValueError(
            f'out_indices={tuple(indices)} must name blocks 0..{count - 1} (or -{count}..-1)')
    return result
