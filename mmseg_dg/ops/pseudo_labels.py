"""Pseudo-labels and their weights (DACS, DAFormer, HRDA;
docs/behavior/daformer_hrda.md#pseudo-labels): every pixel gets the class of highest probability;
the share of confident pixels weighs them all.

Shapes: B images, C classes, H x W pixels.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .precision import at_least_float32


@torch.no_grad()
def confident_pseudo_labels(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor, int]:
    """Take the most probable class of every pixel and count the pixels whose probability reaches
    the threshold.

    Args:
        logits: Floating point (B, C, H, W), before the softmax; half precision is computed in
            float32.
        threshold: Lowest probability that counts as confident (``>=``), in [0, 1].

    Returns:
        Labels int64 (B, H, W) in 0..C-1 (never the ignore value), the number of confident pixels of
        the whole batch as int64 0-d tensor (on the device, so that it can be summed over processes
        without a transfer), and the number of pixels of the batch. None of them carries a gradient.

    Raises:
        ValueError: Wrong shape or dtype, or a threshold out of range.
    """
    if logits.dim() != 4 or not logits.is_floating_point():
        raise ValueError(f'logits must be floating point (B, C, H, W), got {tuple(logits.shape)} '
                         f'{logits.dtype}')
    if not 0 <= threshold <= 1:
        raise ValueError(f'threshold must lie in [0, 1], got {threshold}')
    confidence, labels = at_least_float32(logits).softmax(1).max(1)
    return labels, (confidence >= threshold).sum(), labels.numel()


@torch.no_grad()
def pseudo_label_weights(shape: Sequence[int], confident: Tensor | int, total: Tensor | int,
                         ignore_top: int = 0, ignore_bottom: int = 0,
                         valid_mask: Tensor | None = None) -> Tensor:
    """Weight map: confident / total everywhere, 0 in the ignored rows and outside the valid mask.

    The bands and the mask do not change the quotient: their pixels are counted in both numbers.

    Args:
        shape: (B, H, W) of the labels.
        confident: Number of confident pixels; the map is made on its device.
        total: Number of pixels, positive.
        ignore_top: Rows at the top to switch off (the sky and the rectification border).
        ignore_bottom: Rows at the bottom to switch off (the bonnet of the ego car). Bands that
            together exceed the height switch everything off.
        valid_mask: (B, H, W) or (B, 1, H, W), any dtype. Exactly 1 (or True) means valid: padding
            with 255 is not.

    Returns:
        float32 (B, H, W).

    Raises:
        ValueError: Wrong shapes or negative bands.
    """
    shape = tuple(shape)
    if len(shape) != 3:
        raise ValueError(f'shape must be (B, H, W), got {shape}')
    if ignore_top < 0 or ignore_bottom < 0:
        raise ValueError(f'bands must not be negative, got ignore_top={ignore_top}, '
                         f'ignore_bottom={ignore_bottom}')
    if not isinstance(total, Tensor) and total <= 0:
        raise ValueError(f'total must be positive, got {total}')
    # Divided in float64 as the official Python division, then rounded once.
    quotient = (torch.as_tensor(confident).double() / total).float()
    weights = quotient.expand(shape).clone()
    weights[:, :ignore_top] = 0
    weights[:, max(shape[1] - ignore_bottom, 0):] = 0
    if valid_mask is not None:
        if valid_mask.dim() == 4 and valid_mask.shape[1] == 1:
            valid_mask = valid_mask.squeeze(1)
        if tuple(valid_mask.shape) != shape:
            raise ValueError(f'valid_mask {tuple(valid_mask.shape)} does not fit labels {shape}')
        weights = weights * (valid_mask.to(weights.device) == 1)
    return weights


def pseudo_labels(logits: Tensor, threshold: float, ignore_top: int = 0, ignore_bottom: int = 0,
                  valid_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Compose :func:`confident_pseudo_labels` and :func:`pseudo_label_weights` for the batch of one
    process.

    Args:
        logits: Floating point (B, C, H, W).
        threshold: Lowest probability that counts as confident.
        ignore_top: Rows at the top to switch off.
        ignore_bottom: Rows at the bottom to switch off.
        valid_mask: (B, H, W) or (B, 1, H, W), 1 means valid.

    Returns:
        Labels int64 (B, H, W) and weights float32 (B, H, W).

    Raises:
        ValueError: Wrong shapes, dtypes or ranges.
    """
    labels, confident, total = confident_pseudo_labels(logits, threshold)
    return labels, pseudo_label_weights(labels.shape, confident, total, ignore_top, ignore_bottom,
                                        valid_mask)
