"""ResNet-50 under a Vision Transformer, as in the public ``R50+ViT-B_16`` checkpoints.

Shapes: B images, M heads, N tokens, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmseg_dg.registry import MODELS

from .encoder_options import EncoderOptions

#: A state dict.
State = dict[str, Tensor]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros to put before and after ``size`` pixels so that a convolution gives ``ceil(size /
    stride)`` (TensorFlow's SAME); an odd one comes after.

    ``size`` may be a symbol, while the network is exported for images of any size: it can be
    computed with, but not compared.
    """
    # (outputs - 1) * stride + kernel pixels are needed; ceil(size / stride) is not written as
    # -(-size // stride), because ONNX rounds negative quotients toward zero and Python down
    total = ((size + stride - 1) // stride - 1) * stride + kernel - size
    # with kernel >= stride the total is never negative: no comparison is needed
    if kernel < stride:
        # a kernel of 1 never needs any; max compares, so other such kernels could not be exported,
        # and no layer here has one
        total = max(total, 0) if kernel > 1 else 0
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.) -> Tensor:
    """Pad (B, C, H, W) as SAME padding does: the odd zero goes to the right and below."""
    (top, bottom), (left, right) = (same_padding(size, kernel, stride) for size in x.shape[-2:])
    # not asked while the network is exported: that graph is for every size, and pads by 0 where
    # nothing is missing
    if not torch.compiler.is_compiling() and not (top or bottom or left or right):
        return x
    if kernel == 1:  # nothing to pad at any size
        return x
    return F.pad(x, (left, right, top, bottom), value=value)


class StandardizedConv2d(nn.Conv2d):
    """Convolution without bias whose filters are standardized to mean 0 and standard deviation 1,
    with SAME padding.

    ``(w - mean) / (std + eps)`` per filter, as in the released code of the hybrid Vision
    Transformer; PyTorch ports that put eps under the root differ in the sixth digit.
    """

    eps = 1e-5

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int,
                 stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, ceil(H / stride), ceil(W / stride))."""
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        std = self.weight.std((1, 2, 3), correction=0, keepdim=True)  # of the population
        weight = (self.weight - mean) / (std + self.eps)
        return F.conv2d(pad_same(x, self.kernel_size[0], self.stride[0]), weight,
                        stride=self.stride)


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm of 32 groups with the released code's eps."""
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualUnit(nn.Module):
    """Bottleneck 1x1, 3x3, 1x1 of standardized convolutions, GroupNorm after each.

    The network is called ResNetV2 (pre-activation) in the papers, but in the released code and in
    its ports the norm follows the convolution and the last ReLU the sum; the public weights fit
    only that.

    Args:
        in_channels, channels: Channels in and of the bottleneck; the unit gives ``4 * channels``.
        stride: Of the 3x3 convolution and the projection.
    """
    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out = 4 * channels
        self.conv1, self.norm1 = StandardizedConv2d(in_channels, channels, 1), group_norm(channels)
        self.conv2, self.norm2 = StandardizedConv2d(channels, channels, 3,
                                                    stride), group_norm(channels)
        self.conv3, self.norm3 = StandardizedConv2d(channels, out, 1), group_norm(out)
        self.projection: Optional[nn.Sequential] = None
        if stride != 1 or in_channels != out:
            self.projection = nn.Sequential()
            self.projection.conv = StandardizedConv2d(in_channels, out, 1, stride)
            self.projection.norm = group_norm(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, ceil(H / stride), ceil(W / stride))."""
        residual = x if self.projection is None else self.projection(x)
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return F.relu(residual + self.norm3(self.conv3(x)))


class TransformerLayer(nn.Module):
    """Pre-norm Transformer layer: self-attention, then a two-layer perceptron.

    Args:
        channels, heads, hidden: Width, attention heads, width inside the perceptron.
        drop_rate: Dropout after the attention's projection and after both layers of the perceptron.
        attn_drop_rate: Dropout of the attention weights.
        gelu: ``tanh`` (approximation, as in the released code) or ``none`` (exact, as in PyTorch
            ports).
    """
    def __init__(self, channels: int, heads: int, hidden: int, drop_rate: float,
                 attn_drop_rate: float, gelu: str) -> None:
        super().__init__()
        self.heads, self.gelu = heads, gelu
        self.drop_rate, self.attn_drop_rate = drop_rate, attn_drop_rate
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout of ``drop_rate``, in training only; any shape."""
        return F.dropout(x, self.drop_rate, self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) -> the same shape."""
        b, n, c = x.shape
        # (B, N, 3 C) -> three of (B, M, N, C / M)
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads,
                                               c // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop_rate if self.training else 0.)
        # (B, M, N, C / M) -> (B, N, C)
        x = x + self._drop(self.proj(attended.transpose(1, 2).reshape(b, n, c)))
        hidden = self._drop(F.gelu(self.fc1(self.norm2(x)), approximate=self.gelu))
        return x + self._drop(self.fc2(hidden))


def _leave_class_token_out(module: nn.Module, state_dict: State, prefix: str, *args: Any) -> None:
    """Pre-hook of ``load_state_dict`` for an encoder without class token: takes the token out of
    ``state_dict`` and its position out of ``pos_embed``, which public weights have.
    """
    if state_dict.pop(f'{prefix}cls_token',
                      None) is not None and f'{prefix}pos_embed' in state_dict:
        # (1, 1 + h * w, C) -> (1, h * w, C): the token's position is the first
        state_dict[f'{prefix}pos_embed'] = state_dict[f'{prefix}pos_embed'][:, 1:]


@MODELS.register_module()
class HybridViT(EncoderOptions, BaseModule):
    """Hybrid encoder of TransUNet and DDeP: three stages of a ResNet-50, then ViT-B/16 on their
    1/16 map.

    Weight-standardized convolutions, GroupNorm(32), stages of 3, 4 and 9 units, then a 1x1 patch
    embedding and 12 Transformer layers of width 768. Images are expected on the scale [-1, 1] (mean
    and std 127.5), as the public weights were trained;
    ``tools/model_converters/vit_hybrid2mmseg_dg.py`` converts those. Any image size works: the
    position embedding is stored for ``pos_grid`` and interpolated. Source:
    docs/behavior/ddep.md#architecture; numerics (SAME padding, eps, tanh GELU) of the released
    code.

    Args:
        in_channels: Channels of the image.
        stem_channels: Channels of the stem and of the first bottleneck (64).
        stages: Units per stage.
        embed_dims, num_layers, num_heads, feedforward_channels: Of the Transformer.
        pos_grid: (H, W) of the stored position embedding, 14x14 for 224x224 images.
        cls_token: Let the class token take part in the attention, as when the public weights were
            trained; it is not part of the output. TransUNet's code drops it (a choice the DDeP
            paper does not settle).
        drop_rate: Dropout of the Transformer in training mode.
        attn_drop_rate: Dropout of its attention weights.
        gelu: ``tanh`` as in the released code, or ``none`` (exact) as in PyTorch ports.
        trainable, lora, extra_channels: See :class:`EncoderOptions`.
        init_cfg: mmengine's.

    Raises:
        ValueError: Widths that GroupNorm or the heads do not divide, or an unknown ``gelu``.
    """

    input_layer = 'stem.conv'

    def __init__(self, in_channels: int = 3, stem_channels: int = 64, stages: Sequence[int] = (3, 4,
                                                                                               9),
                 embed_dims: int = 768, num_layers: int = 12, num_heads: int = 12,
                 feedforward_channels: int = 3072, pos_grid: tuple[int, int] = (14, 14),
                 cls_token: bool = True, drop_rate: float = 0.1, attn_drop_rate: float = 0.,
                 gelu: str = 'tanh', trainable: str = 'all', lora: Optional[Mapping] = None,
                 extra_channels: str = 'zeros', init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if stem_channels % 32 or embed_dims % num_heads:
            raise ValueError(f'stem_channels={stem_channels} must be a multiple of the 32 groups, '
                             f'and embed_dims={embed_dims} of num_heads={num_heads}')
        if gelu not in ('tanh', 'none'):
            raise ValueError(f"gelu is 'tanh' or 'none' (exact), got {gelu!r}")
        self.stem = nn.Sequential()
        self.stem.conv = StandardizedConv2d(in_channels, stem_channels, 7, 2)
        self.stem.norm = group_norm(stem_channels)
        self.stages = nn.ModuleList()
        channels = stem_channels
        for i, units in enumerate(stages):
            # all stages but the first halve the map, in their first unit
            width = stem_channels * 2**i
            stage = [
                ResidualUnit(channels if u == 0 else 4 * width, width, 2 if i and u == 0 else 1)
                for u in range(units)
            ]
            self.stages.append(nn.Sequential(*stage))
            channels = 4 * width
        self.patch_embed = nn.Conv2d(channels, embed_dims, 1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims)) if cls_token else None
        self.pos_grid = tuple(pos_grid)
        self.pos_embed = nn.Parameter(
            torch.zeros(1,
                        int(cls_token) + pos_grid[0] * pos_grid[1], embed_dims))
        self.layers = nn.ModuleList([
            TransformerLayer(embed_dims, num_heads, feedforward_channels, drop_rate, attn_drop_rate,
                             gelu) for _ in range(num_layers)
        ])
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.drop_rate = drop_rate
        if not cls_token:
            self.register_load_state_dict_pre_hook(_leave_class_token_out)
        self.set_options(trainable, lora, extra_channels)

    def init_weights(self) -> None:
        """Random weights as in the released code, then ``init_cfg``. The scale of each residual
        unit's last norm starts at 0, so that the unit passes its input on.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, ResidualUnit):
                nn.init.zeros_(module.norm3.weight)
        trunc_normal_(self.pos_embed, std=0.02)
        super().init_weights()

    def position_embedding(self, grid: tuple[int, int]) -> Tensor:
        """The stored embedding resized to a grid (rows, columns) of tokens, bilinearly with corners
        aligned: (1, h * w, C), or (1, 1 + h * w, C) with the class token's position first.
        """
        if grid == self.pos_grid:
            return self.pos_embed
        count = self.pos_grid[0] * self.pos_grid[1]
        # (1, 1, C), empty (1, 0, C) without class token, and (1, h * w, C)
        token, table = self.pos_embed[:, :-count], self.pos_embed[:, -count:]
        table = table.transpose(1, 2).unflatten(2, self.pos_grid)  # (1, h * w, C) -> (1, C, h, w)
        table = F.interpolate(table, grid, mode='bilinear', align_corners=True)
        # (1, C, h, w) -> (1, h * w, C), the class token in front
        return torch.cat([token, table.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode images.

        Args:
            images: (B, 3, H, W) on the scale [-1, 1].

        Returns:
            Maps at stride 2 (64 channels), 4 (256), 8 (512) and the tokens at 16 (768), with the
            default arguments; height and width are rounded up.
        """
        x = F.relu(self.stem(images))
        levels = [x]
        # padded by the lowest value, which is no maximum
        x = F.max_pool2d(pad_same(x, 3, 2, value=float('-inf')), 3, 2)
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        # in place of the last stage's map: the tokens made of that map, as a map
        return (*levels[:-1], self.tokens(x))

    def tokens(self, x: Tensor) -> Tensor:
        """The Transformer on the last convolutional map: (B, C, h, w), 1024 channels by default, ->
        (B, embed_dims, h, w).
        """
        x = self.patch_embed(x)
        grid = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, N, C)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
        x = F.dropout(x + self.position_embedding(grid).to(x.dtype), self.drop_rate, self.training)
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)[:, -grid[0] * grid[1]:]  # the patches, without the class token
        return x.transpose(1, 2).unflatten(2, grid)  # (B, N, C) -> (B, C, h, w)
