"""Complementary channel dropout: what one view of an image loses, the other view keeps (UniMatch
V2).

Shapes: B images, C channels, h x w places of a smaller map.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .transfer import on_device


class ComplementaryMasks(NamedTuple):
    """Drawn channels of one step.

    Attributes:
        channels: Per level bool (B, C): True where the first view keeps a channel; the second keeps
            the others.
        whole: bool (B,): images that keep all channels in both views.
    """
    channels: list[Tensor]
    whole: Tensor


def draw_complementary_masks(count: int, widths: Sequence[int], rng: np.random.RandomState,
                             share: float = 0.5) -> ComplementaryMasks:
    """Draw which channels the two views of each image keep, each with probability one half.

    Levels of one width (a plain vision transformer's) share one mask per image; those of a pyramid
    with different widths have one each, drawn level by level. Source:
    docs/behavior/unimatch_v2.md#complementary-dropout.

    Args:
        count: Images B.
        widths: Channels of the levels the decoder reads, in order.
        rng: Asked for the same number of values whatever ``share`` is.
        share: Share of the images whose channels are dropped, in [0, 1]; ``floor(B (1 - share))``
            images, drawn without replacement, stay whole.

    Returns:
        Per level which channels the first view keeps (the second keeps the others), bool (B, C),
        and which images stay whole, bool (B,).

    Raises:
        ValueError: No image, no channel, or a share out of range.
    """
    if count < 1 or not widths or min(widths) < 1:
        raise ValueError(f'complementary dropout needs images and channels, got {count} and widths '
                         f'{list(widths)}')
    if not 0 <= share <= 1:
        raise ValueError(f'share is a share of the images, in [0, 1], got {share}')
    different = len(set(widths)) > 1
    drawn = [
        torch.from_numpy(rng.randint(0, 2, size=(count, c)) == 1)
        for c in (widths if different else widths[:1])
    ]
    whole = torch.zeros(count, dtype=torch.bool)
    # a little more than the product: 10 (1 - 0.9) is below 1 in floating point
    number_whole = math.floor(count * (1 - share) + 1e-9)
    whole[torch.from_numpy(rng.permutation(count)[:number_whole])] = True
    return ComplementaryMasks(drawn if different else drawn * len(widths), whole)


def drop_complementary_channels(features: Tensor, channels: Tensor, whole: Tensor) -> Tensor:
    """Apply one level's masks to the features of both views.

    Kept channels are doubled, so that each view's expectation over the draws is the feature itself,
    and the two views' factors add up to 2 everywhere.

    Args:
        features: Floating point (2 B, C, h, w): the first views of all images, then the second
            ones.
        channels: bool (B, C), see :class:`ComplementaryMasks`.
        whole: bool (B,).

    Returns:
        Same shape and dtype.

    Raises:
        ValueError: Shapes that do not agree.
    """
    count, width = channels.shape if channels.dim() == 2 else (-1, -1)
    if features.dim() != 4 or tuple(
            features.shape[:2]) != (2 * count, width) or whole.shape != (count, ):
        raise ValueError('features must be (2 B, C, h, w) with channels (B, C) and whole (B,), '
                         f'got {tuple(features.shape)}, {tuple(channels.shape)} and '
                         f'{tuple(whole.shape)}')
    kept = on_device(channels, features.device).to(features.dtype)
    stays_whole = on_device(whole, features.device).unsqueeze(1)  # (B, 1)
    # (2 B, C): the first views' factors, then the second ones', for the channels they keep
    factors = torch.cat([
        torch.where(stays_whole, torch.ones_like(kept), 2 * kept_by_view)
        for kept_by_view in (kept, 1 - kept)
    ])
    return features * factors[..., None, None]
