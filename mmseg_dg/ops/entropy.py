"""Entropy of pixel predictions, and what is decided by it: drift pixels, and detail crops of
uncertain regions.

Source: PiXL, pixel-level sub-domain partition
(docs/behavior/pixl.md#partition-into-joint-and-drift-pixels); CLUDA's entropy-guided detail crop
(docs/behavior/pixl.md#cludas-contrastive-term, item 8).

Shapes: B images, N pixels, C classes, H x W pixels, h x w places of a smaller map.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_dg.ops.pairs import pair

from .crop_boxes import CropBox, shrink_box, sliding_boxes
from .precision import at_least_float32


@torch.no_grad()
def pixel_entropy(logits: Tensor, normalized: bool = False) -> Tensor:
    """Entropy of the softmax over classes, ``H = - sum_c p_c log p_c`` in nats.

    Args:
        logits: Floating point (B, C, h, w), before the softmax; half precision is computed in
            float32.
        normalized: Divide by log C, so that 1 is the uniform distribution.

    Returns:
        (B, h, w), float32 (float64 for float64 logits), in [0, log C] or [0, 1]; no gradient.

    Raises:
        ValueError: Wrong shape or dtype, or a single class, whose entropy says nothing.
    """
    if logits.dim() != 4 or not logits.is_floating_point():
        raise ValueError(f'logits must be floating point (B, C, h, w), got {tuple(logits.shape)} '
                         f'{logits.dtype}')
    if logits.shape[1] < 2:
        raise ValueError(f'entropy needs logits of at least two classes, got {tuple(logits.shape)}')
    log_p = at_least_float32(logits).log_softmax(1)
    p = log_p.exp()
    # p = 0 with log p = -inf counts as 0, its limit
    entropy = log_p.clamp_(min=torch.finfo(log_p.dtype).min).mul_(p).sum(1).neg_().clamp_(min=0)
    return entropy.div_(math.log(logits.shape[1])) if normalized else entropy


@torch.no_grad()
def highest_pixels(scores: Tensor, valid: Tensor, fraction: float) -> Tensor:
    """Mark in every image the k valid pixels of highest score, ``k = round(fraction * number of
    valid pixels)``.

    Exactly k pixels are marked: among equal scores at the edge, those of lower index (row by row).
    ``round`` takes .5 to the even number, as in Python. The result is the same on CPU and CUDA,
    because no order among equal scores is left to a sorting algorithm, and nothing is transferred
    from the device.

    Args:
        scores: Floating point (B, h, w); NaN counts as the highest.
        valid: bool (B, h, w).
        fraction: In [0, 1].

    Returns:
        bool (B, h, w).

    Raises:
        ValueError: Shapes that differ, or a fraction outside [0, 1].
    """
    if scores.dim() != 3 or scores.shape != valid.shape or valid.dtype != torch.bool:
        raise ValueError('scores (B, h, w) and a bool mask of the same shape are needed, got '
                         f'{tuple(scores.shape)} and {valid.dtype} {tuple(valid.shape)}')
    check_fraction('fraction', fraction)
    if not scores[0].numel():
        return torch.zeros_like(valid)
    keep = valid.flatten(1)  # (B, N), N = h * w
    # invalid pixels below all others, -inf scores of valid ones just above them
    lowest = torch.finfo(scores.dtype).min
    flat = scores.flatten(1).nan_to_num(nan=math.inf, posinf=math.inf, neginf=lowest)  # (B, N)
    flat = flat.masked_fill(~keep, -math.inf)
    count = (keep.sum(1, keepdim=True).double() * fraction).round().long()
    ranked = flat.sort(dim=1, descending=True).values
    # the k-th highest score of each image, (B, 1); with k = 0 any, nothing is marked below
    edge = ranked.gather(1, (count - 1).clamp(min=0))
    above = flat > edge
    tied = (flat == edge) & keep
    # how many of the equal scores at the edge are still to be marked, (B, 1)
    missing = count - above.sum(1, keepdim=True)
    chosen = above | (tied & (tied.cumsum(1) <= missing))
    return (chosen & (count > 0)).view_as(valid)  # (B, N) -> (B, h, w)


def check_fraction(name: str, value: float) -> float:
    """``value`` as a float in [0, 1].

    Raises:
        ValueError: Out of range or not a number; the message has name and value.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f'{name} must be a number in [0, 1], got {value!r}')
    return float(value)


def linear_schedule(start: float, end: float, iteration: int, total: int | None) -> float:
    """The value at ``iteration`` on a line from ``start`` (iteration 0) to ``end`` (iteration
    ``total - 1``).

    Args:
        start: First value.
        end: Last value; it also holds after the last iteration.
        iteration: 0-based.
        total: Iterations of the run; None (unknown) gives ``start``.

    Raises:
        ValueError: A negative iteration or a total below 1.
    """
    if iteration < 0 or (total is not None and total < 1):
        raise ValueError(f'iteration must be 0 or more and total at least 1, got {iteration} and '
                         f'{total}')
    if total is None or total == 1:
        return start
    share = min(iteration / (total - 1), 1.)
    # ``end`` itself, which the sum may miss by rounding
    return end if share == 1 else start + (end - start) * share


@torch.no_grad()
def entropy_guided_boxes(logits: Tensor, image_size: Sequence[int], crop_size: Sequence[int],
                         stride: int) -> list[CropBox]:
    """Per image, the sliding window of highest mean entropy; the first of equal ones, row by row.

    Args:
        logits: Floating point (B, C, h, w) of the whole image.
        image_size: (H, W) in pixels.
        crop_size: (height, width) of the window in pixels.
        stride: Distance of neighboring windows in pixels; the last ones are moved back to the
            border.

    Returns:
        B boxes (y1, y2, x1, x2) in pixels.

    Raises:
        ValueError: Wrong shapes, or a stride that leaves gaps.
    """
    size, crop = pair(image_size), pair(crop_size)
    if crop[0] > size[0] or crop[1] > size[1]:
        raise ValueError(f'the detail crop {crop[0]}x{crop[1]} is larger than the image '
                         f'{size[0]}x{size[1]}')
    entropy = pixel_entropy(logits).double()
    boxes = sliding_boxes(size, crop, (stride, stride))
    stride_of_logits = size[0] / logits.shape[-2]
    means = []
    for box in boxes:
        y1, y2, x1, x2 = shrink_box(box, stride_of_logits)
        # at least one cell, also for a window smaller than that
        means.append(entropy[:, y1:max(y2, y1 + 1), x1:max(x2, x1 + 1)].mean((1, 2)))
    # windows x (B,) -> (B, windows) -> (B,); NaN counts as the highest
    best = torch.stack(means, dim=1).nan_to_num(nan=math.inf).argmax(1)
    return [boxes[i] for i in best.tolist()]
