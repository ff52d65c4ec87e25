"""Deformable self-attention on one map, in plain PyTorch (no compiled operator: CPU, CUDA, any
precision).

Shapes: B images, M heads, P points, C channels, H x W pixels.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def deformable_sampling(value: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of a few bilinearly sampled values around every pixel.

    Source: Deformable DETR (Zhu et al., ICLR 2021), equation 2, on a single scale: pixel (y, x)
    reads ``value[y + dy, x + dx]``, zero outside the map.

    Args:
        value: (B, M, C, H, W), M heads.
        offsets: (B, M, P, 2, H, W) in pixels, order (dx, dy), for P points.
        weights: (B, M, P, H, W), usually summing to 1 over P.

    Returns:
        (B, M, C, H, W).
    """
    b, m, c, h, w = value.shape
    points = offsets.shape[2]
    # grid_sample loses whole pixels in half precision: coordinates stay in float32 or better
    kind = torch.promote_types(offsets.dtype, torch.float32)
    ys = torch.arange(h, device=value.device, dtype=kind).view(1, 1, h, 1)  # (1, 1, H, 1)
    xs = torch.arange(w, device=value.device, dtype=kind).view(1, 1, 1, w)  # (1, 1, 1, W)
    # (B, M, P, 2, H, W) -> (B * M, P, 2, H, W)
    shift = offsets.to(kind).reshape(b * m, points, 2, h, w)
    # normalized coordinates of align_corners=False: pixel center i lies at (2 i + 1)/n - 1
    # (B * M, P, H, W, 2)
    grid = torch.stack([(2 * (xs + shift[:, :, 0]) + 1) / w - 1,
                        (2 * (ys + shift[:, :, 1]) + 1) / h - 1], dim=-1)
    # grid_sample knows no points: they are rows of a higher map, (B * M, C, P * H, W)
    sampled = F.grid_sample(
        value.reshape(b * m, c, h, w).to(kind), grid.reshape(b * m, points * h, w, 2),
        mode='bilinear', padding_mode='zeros', align_corners=False)
    sampled = sampled.view(b * m, c, points, h, w)  # (B * M, C, P, H, W)
    # summed over P: (B * M, C, H, W)
    mixed = (sampled * weights.to(kind).reshape(b * m, 1, points, h, w)).sum(dim=2)
    return mixed.view(b, m, c, h, w).to(value.dtype)  # (B, M, C, H, W)


class DeformableSelfAttention(nn.Module):
    """Every pixel attends to ``points`` learned places per head, on the map it belongs to.

    Offsets start on rays that leave the pixel in one direction per head, 1, 2, ... pixels away,
    with equal weights (Deformable DETR). The residual connection is the caller's.

    Args:
        channels: Width; divisible by ``heads``.
        heads: Attention heads.
        points: Sampled places per head and pixel.

    Raises:
        ValueError: ``channels`` is not divisible by ``heads``.
    """
    def __init__(self, channels: int, heads: int = 8, points: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f'deformable attention: {channels} channels cannot be split over '
                             f'{heads} heads')
        self.heads, self.points = heads, points
        # linear layers of pixels, as 1x1 convolutions: no copy into another layout
        self.sampling_offsets = nn.Conv2d(channels, heads * points * 2, 1)
        self.attention_weights = nn.Conv2d(channels, heads * points, 1)
        self.value_proj = nn.Conv2d(channels, channels, 1)
        self.output_proj = nn.Conv2d(channels, channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Rays for the offsets, equal weights, Xavier projections without bias."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.get_parameter('bias'))
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.get_parameter('bias'))
        rays = []
        for head in range(self.heads):
            angle = 2 * math.pi * head / self.heads
            ray = (math.cos(angle), math.sin(angle))
            longest = max(abs(v) for v in ray)  # rays end on a square: whole pixels along an axis
            # each head begins looking into its own direction, point k at distance k + 1
            rays += [value / longest * (point + 1) for point in range(self.points) for value in ray]
        bias = self.sampling_offsets.get_parameter('bias')
        bias.data.copy_(bias.new_tensor(rays))

    def forward(self, query: Tensor, value: Tensor) -> Tensor:
        """Let every pixel read ``points`` places of the value map per head.

        Args:
            query: Map with positional encoding, (B, C, H, W): decides where to look.
            value: Map that is read, (B, C, H, W).

        Returns:
            (B, C, H, W).
        """
        b, c, h, w = value.shape
        m, p = self.heads, self.points
        values = self.value_proj(value).view(b, m, c // m, h, w)  # (B, M, C / M, H, W)
        offsets = self.sampling_offsets(query).view(b, m, p, 2, h, w)  # (B, M, P, 2, H, W)
        # (B, M, P, H, W), sums to 1 over P
        weights = self.attention_weights(query).view(b, m, p, h, w).softmax(dim=2)
        # (B, M, C / M, H, W) -> (B, C, H, W)
        return self.output_proj(deformable_sampling(values, offsets, weights).reshape(b, c, h, w))
