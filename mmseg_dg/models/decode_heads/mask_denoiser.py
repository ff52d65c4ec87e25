"""The mask denoiser: image feature + noisy label code + time -> class logits.

Confirmed of the paper: a module of that name with L = 4 layers and a signal scale b = 0.1.
Everything else about its inside is a reconstruction from DDP's decoder
(docs/behavior/diffmatch.md#network-and-diffusion), and an argument.

Shapes: B images, T features of the time, K classes, C channels, D channels of a code, H x W pixels,
h x w places of a smaller map.
"""
import math
from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmseg_dg.ops.diffusion import (
    analog_bits_code,
    downscale_label_map,
    embedding_code,
    levels,
    log_snr,
    num_bits,
    one_hot_code,
)
from mmseg_dg.ops.labels import check_ignore_index
from mmseg_dg.registry import MODELS

from .deformable_attention import DeformableSelfAttention

CODES = ('embedding', 'one_hot', 'bits')
LAYERS = ('deformable', 'conv')
CODE_INPUTS = ('raw', 'estimate')


class LabelCode(nn.Module):
    """What a label looks like to the diffusion process.

    Args:
        kind: ``'embedding'``: learned rows, squashed to (-scale, scale) (default of the
            reconstruction); ``'one_hot'``; ``'bits'``: binary digits of the class number.
        num_classes: K.
        channels: Width of an embedding; the others have K and ceil(log2(K + 1)) channels.
        scale: Signal scale b.
        ignore_index: Label of ignored pixels.

    Raises:
        ValueError: Unknown kind, or a scale that is not positive.
    """
    def __init__(self, kind: str, num_classes: int, channels: int, scale: float,
                 ignore_index: int = 255) -> None:
        super().__init__()
        if kind not in CODES:
            raise ValueError(f'label code must be one of {CODES}, got {kind!r}')
        if scale <= 0:
            raise ValueError(f'the signal scale b must be positive, got {scale} (0.1 in the paper)')
        check_ignore_index(num_classes, ignore_index)
        self.kind, self.scale = kind, scale
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.channels = dict(embedding=channels, one_hot=num_classes,
                             bits=num_bits(num_classes))[kind]
        # a row per class, and one for ignored pixels
        self.table = nn.Parameter(torch.randn(num_classes
                                              + 1, channels)) if kind == 'embedding' else None

    def forward(self, labels: Tensor) -> Tensor:
        """Label ids (B, H, W) -> codes (B, channels, H, W)."""
        if self.table is not None:  # kind 'embedding'
            return embedding_code(labels, self.table, self.scale, self.ignore_index)
        make = one_hot_code if self.kind == 'one_hot' else analog_bits_code
        return make(labels, self.num_classes, self.scale, self.ignore_index)

    @torch.no_grad()
    def mean_square(self) -> Tensor:
        """Mean of the squared elements of the codes of the K classes, float64 scalar.

        ``b^2`` for binary digits, ``b^2 / K`` for one-hot codes. An embedding's rows are taken as
        they are now; of normal ones 0.173 b^2 is expected, since squashing to (-b, b) leaves most
        elements far from +-b.
        """
        device = None if self.table is None else self.table.device
        # a label map of one row that shows every class once: (1, 1, K) -> (1, D, 1, K)
        return self(torch.arange(self.num_classes,
                                 device=device).view(1, 1, -1)).double().square().mean()


class TimeEmbedding(nn.Module):
    """Learned sinusoidal features of a number (the log-SNR, or the time itself), then a two-layer
    perceptron.

    Args:
        channels: Width of the result.
        frequencies: Learned frequencies; each gives a sine and a cosine, and the raw value is kept
            (8 -> 17 features).
    """
    def __init__(self, channels: int, frequencies: int = 8) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(frequencies))
        self.mlp = nn.Sequential(nn.Linear(2 * frequencies + 1, channels), nn.GELU(),
                                 nn.Linear(channels, channels))

    def forward(self, number: Tensor) -> Tensor:
        """(B,) -> (B, channels)."""
        raw = number.to(self.frequencies.dtype)[:, None]
        angles = 2 * math.pi * raw * self.frequencies
        return self.mlp(torch.cat([raw, angles.sin(), angles.cos()], dim=1))


class FiLM(nn.Module):
    """Scale and shift of every channel by time: ``x (scale + 1) + shift``.

    Args:
        time_channels: Width of the time embedding.
        channels: Channels of the map.
    """
    def __init__(self, time_channels: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, 2 * channels))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, channels, H, W), (B, time_channels) -> (B, channels, H, W)."""
        scale, shift = self.project(time)[..., None, None].chunk(2, dim=1)
        return x * (scale + 1) + shift


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (B, C, H, W)."""
    def forward(self, x: Tensor) -> Tensor:
        # LayerNorm wants channels last: (B, C, H, W) -> (B, H, W, C) and back
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DeformableLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, each with residual and norm after it;
    then FiLM.
    """
    def __init__(self, channels: int, time_channels: int, heads: int, points: int,
                 ffn_channels: int, dropout: float) -> None:
        super().__init__()
        self.attention = DeformableSelfAttention(channels, heads, points)
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.ffn = nn.Sequential(nn.Conv2d(channels, ffn_channels, 1), nn.GELU(),
                                 nn.Dropout(dropout), nn.Conv2d(ffn_channels, channels, 1))
        self.dropout = nn.Dropout(dropout)
        self.film = FiLM(time_channels, channels)
        for name, values in self.ffn.named_parameters():  # of the two convolutions
            start = nn.init.zeros_ if name.endswith('bias') else nn.init.xavier_uniform_
            start(values)

    def forward(self, x: Tensor, position: Tensor, time: Tensor) -> Tensor:
        """Map (B, C, H, W), sine positions of its pixels (1, C, H, W) and embedded times (B, T) ->
        (B, C, H, W).
        """
        x = self.norm1(x + self.dropout(self.attention(x + position, x)))
        x = self.norm2(x + self.dropout(self.ffn(x)))
        return self.film(x, time)


class ConvLayer(nn.Module):
    """Convolution, norm, FiLM, activation: DDP's convolutional alternative."""
    def __init__(self, channels: int, time_channels: int, kernel_size: int,
                 norm_cfg: Optional[dict]) -> None:
        super().__init__()
        self.conv = ConvModule(channels, channels, kernel_size, padding=kernel_size // 2,
                               norm_cfg=norm_cfg, act_cfg=None)
        self.film = FiLM(time_channels, channels)

    def forward(self, x: Tensor, position: Optional[Tensor], time: Tensor) -> Tensor:
        """Map (B, C, H, W) and embedded times (B, T) -> (B, C, H, W); ``position`` is there for
        the interface of :class:`DeformableLayer` and not used.
        """
        return F.relu(self.film(self.conv(x), time))


@MODELS.register_module()
class MaskDenoiserHead(BaseDecodeHead):
    """Predicts the class of every pixel from an image feature and a noisy label code.

    ``concat(feature, code) -> 1x1 convolution -> L layers modulated by time -> 1x1 classifier``,
    all at the size of the feature. It also owns the label code and the noise schedule, which
    training and sampling share.

    Args:
        in_channels: Channels of the image feature (256 of DeepLabV3+).
        channels: Width of the denoiser.
        num_classes: K.
        num_layers: L (paper: 4).
        bit_scale: Signal scale b (paper: 0.1).
        code: ``'embedding'``, ``'one_hot'`` or ``'bits'`` (reconstruction: embedding).
        schedule: ``'cosine'`` or ``'linear'`` (reconstruction: cosine).
        layer: ``'deformable'`` or ``'conv'`` (reconstruction: deformable).
        heads, points: Of deformable attention.
        ffn_channels: Hidden width of the feed-forward network (1024 in DDP).
        layer_dropout: Dropout inside deformable layers (0 in DDP).
        kernel_size: Of convolutional layers.
        time_channels: Width of the time embedding; None: 4 x ``channels``.
        time_frequencies: Learned frequencies of the time embedding.
        time_input: ``'log_snr'`` (reconstruction, DDP's) or ``'t'``. The log-SNR falls from -8 to
            -19 in the last hundredth of the time, where training hardly draws and sampling begins;
            ``'t'`` has no such edge.
        time_range: Times that are drawn in training; the embedding is told none outside, which it
            would not know. A ``MaskDiffusionEncoderDecoder`` sets it to its own.
        code_input: How the noisy code y enters the first convolution. ``'raw'`` (reconstruction,
            DDP's): as it is, a signal of b under noise of standard deviation up to 1.
            ``'estimate'`` (ours): ``a v y / (b (a^2 v + s^2))`` with a, s = alpha_t, sigma_t and v
            the mean square of the code's elements (0.173 b^2 of a fresh embedding): the best linear
            estimate of the clean code in units of b. The code at t = 0, nothing at t = 1, where
            there is only noise that the network would have to learn to ignore.
        zero_init: Start the classifier, the last layer, at zero, for logits that are added to
            others' (``MaskDiffusionEncoderDecoder(residual=True)`` sets it). An ``init_cfg`` of
            your own replaces it.
        norm_cfg: Norm of convolutional layers; None gives them a bias instead.
        dropout_ratio: Dropout2d before the classifier (0 in DDP).
        align_corners: Of resizing logits to the image.
        loss_decode, sampler, ignore_index, init_cfg: As in mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: Unknown kinds, no layer, or a width that is not divisible by 4 (positions) or by
            ``heads``.
    """
    def __init__(self, in_channels: int = 256, channels: int = 256, *, num_classes: int,
                 num_layers: int = 4, bit_scale: float = 0.1, code: str = 'embedding',
                 schedule: str = 'cosine', layer: str = 'deformable', heads: int = 8,
                 points: int = 4, ffn_channels: int = 1024, layer_dropout: float = 0.0,
                 kernel_size: int = 3, time_channels: Optional[int] = None,
                 time_frequencies: int = 8, time_input: str = 'log_snr',
                 time_range: Sequence[float] = (0.0, 1.0), code_input: str = 'raw',
                 zero_init: bool = False, norm_cfg: Optional[dict] = None,
                 dropout_ratio: float = 0.0, align_corners: bool = False,
                 loss_decode: Union[dict, list, None] = None, sampler: Optional[dict] = None,
                 ignore_index: int = 255, init_cfg: Optional[dict] = None) -> None:
        loss_decode = loss_decode or dict(type='CrossEntropyLoss', use_sigmoid=False,
                                          loss_weight=1.0)
        super().__init__(in_channels, channels, num_classes=num_classes, norm_cfg=norm_cfg,
                         in_index=0, dropout_ratio=dropout_ratio, align_corners=align_corners,
                         loss_decode=loss_decode, sampler=sampler, ignore_index=ignore_index,
                         init_cfg=init_cfg or _classifier_init(zero_init))
        if layer not in LAYERS:
            raise ValueError(f'MaskDenoiserHead: layer must be one of {LAYERS}, got {layer!r}')
        if num_layers < 1:
            raise ValueError(f'MaskDenoiserHead: num_layers={num_layers}, it needs at least one (4 '
                             'in the paper)')
        if layer == 'deformable' and channels % 4:
            raise ValueError(f'MaskDenoiserHead: channels={channels} must be divisible by 4, two '
                             'axes x sine and cosine of the positional encoding')
        if time_input not in ('log_snr', 't'):
            raise ValueError("MaskDenoiserHead: time_input must be 'log_snr' or 't', got "
                             f"{time_input!r}")
        if code_input not in CODE_INPUTS:
            raise ValueError(f'MaskDenoiserHead: code_input must be one of {CODE_INPUTS}, got '
                             f'{code_input!r}')
        log_snr(torch.zeros(1), schedule)  # refuses an unknown schedule now, not in iteration 0
        self.schedule, self.layer_kind = schedule, layer
        self.time_input, self.time_range, self.code_input = time_input, tuple(
            time_range), code_input
        self.code = LabelCode(code, num_classes, channels, bit_scale, ignore_index)
        # joins the image feature, the denoiser's condition, with the noisy code
        self.condition = nn.Conv2d(in_channels + self.code.channels, channels, 1)
        nn.init.xavier_uniform_(self.condition.weight)
        nn.init.zeros_(self.condition.get_parameter('bias'))
        width = time_channels or 4 * channels
        self.time_embedding = TimeEmbedding(width, time_frequencies)
        layers: list[nn.Module]
        if layer == 'deformable':
            layers = [
                DeformableLayer(channels, width, heads, points, ffn_channels, layer_dropout)
                for _ in range(num_layers)
            ]
        else:
            layers = [ConvLayer(channels, width, kernel_size, norm_cfg) for _ in range(num_layers)]
        self.layers = nn.ModuleList(layers)
        if zero_init:  # networks that nobody calls init_weights of begin there, too
            nn.init.zeros_(self.conv_seg.weight)
            nn.init.zeros_(self.conv_seg.bias)

    def encode(self, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """Clean codes (B, D, h, w) of label maps (B, H, W), resized to ``size`` by nearest
        neighbors.
        """
        return self.code(downscale_label_map(labels, size))

    def forward(self, feature: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """Class logits.

        Args:
            feature: Image feature, (B, in_channels, h, w).
            noisy: Noisy label code, (B, D, h, w).
            t: Times in [0, 1], (B,): how noisy the code is. The layers are told the nearest one in
                ``time_range``.

        Returns:
            (B, num_classes, h, w).
        """
        # the nearest times that were drawn in training; others mean nothing to the embedding
        trained_times = t.clamp(*self.time_range)
        time = self.time_embedding(trained_times if self.time_input ==
                                   't' else log_snr(trained_times, self.schedule))
        if self.code_input == 'estimate':
            # the clean code as far as the noisy one tells it, in units of the signal scale
            noisy = noisy * self.estimate_gain(t).to(noisy.dtype)[:, None, None, None]
        x = self.condition(torch.cat([feature, noisy.to(feature.dtype)], dim=1))
        position = None  # convolutional layers need none
        if self.layer_kind == 'deformable':
            position = sine_positions(x.shape[1], tuple(x.shape[-2:]), x.device).to(x.dtype)
        for layer in self.layers:
            x = layer(x, position, time)
        return self.cls_seg(x)

    def estimate_gain(self, t: Tensor) -> Tensor:
        """Factor of the noisy code that estimates the clean one in units of b, float64 (B,).

        Least squares of c against y = alpha c + sigma eps over classes, channels and noise:
        ``alpha v / (alpha^2 v + sigma^2)`` with v = E[c^2], then divided by b. Of a fresh embedding
        with b = 0.1 it is 0.060 at t = 1/3; +-b codes would have 0.336 there.
        """
        (alpha, sigma), power = self.levels(t), self.code.mean_square().to(t.device)
        return alpha * power / (alpha**2 * power + sigma**2) / self.code.scale

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """``(alpha_t, sigma_t)`` of the noise schedule at the times ``t`` (B,), float64 (B,) each:
        the factors of the clean code and of the noise in a noisy code.
        """
        return levels(t, self.schedule)


def _classifier_init(zero: bool) -> dict:
    """``init_cfg`` that starts the classifier at zero, or as mmseg does (normal, deviation 0.01).

    The other layers set their own weights when they are made, so that it names ``conv_seg`` alone.
    """
    classifier_only = dict(override=dict(name='conv_seg'))
    if zero:
        return dict(classifier_only, type='Constant', val=0., bias=0.)
    return dict(classifier_only, type='Normal', std=0.01)


def sine_positions(channels: int, size: tuple[int, int],
                   device: Optional[torch.device] = None) -> Tensor:
    """Sine positional encoding of a map: half of the channels for rows, half for columns.

    Row or column i of n has the coordinate ``(i + 0.5)/n`` times 2 pi, frequencies are
    ``10000^(-2j/(channels/2))``, sine and cosine interleaved. Source:
    docs/behavior/unimatch.md#ddp-denoiser (DETR's encoding, normalized, with the offset -0.5).

    Args:
        channels: Divisible by 4.
        size: (H, W).
        device: Of the result.

    Returns:
        (1, channels, H, W) float32.
    """
    half = channels // 2
    index = torch.arange(half, device=device, dtype=torch.float32)
    # one over the frequency; a sine and the cosine after it share one
    divisor = 10000**(2 * torch.div(index, 2, rounding_mode='floor') / half)

    def axis(length: int) -> Tensor:
        """Sines and cosines of the places of one axis, (length, half)."""
        place = (torch.arange(length, device=device, dtype=torch.float32)
                 + 0.5) / length * (2 * math.pi)
        angle = place[:, None] / divisor  # (length, half)
        # even channels sine, odd ones cosine: (length, half / 2, 2) -> (length, half)
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1)

    height, width = size
    # (H, half) -> (half, H, 1) -> (half, H, W), and (W, half) -> (half, 1, W) -> (half, H, W)
    rows = axis(height).t()[:, :, None].expand(half, height, width)
    columns = axis(width).t()[:, None, :].expand(half, height, width)
    return torch.cat([rows, columns]).unsqueeze(0)  # (1, channels, H, W)
