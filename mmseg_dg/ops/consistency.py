"""The loss on pseudo-labels that FixMatch and UniMatch share, and the predictions it is made of.

Shapes: B images, C classes, H x W pixels.
"""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PseudoLabels(NamedTuple):
    """What a prediction says about every pixel.

    Attributes:
        label: Most probable class, int64 (B, H, W) in 0..C-1.
        confidence: Its probability, float32 (B, H, W) in (0, 1].
        valid: False on padding, bool (B, H, W).
    """
    label: Tensor
    confidence: Tensor
    valid: Tensor

    def mask(self, threshold: float) -> Tensor:
        """Pixels that are learned from: confident (``>=``) and valid; bool (B, H, W)."""
        return (self.confidence >= threshold) & self.valid


@torch.no_grad()
def pseudo_labels_from(logits: Tensor, valid: Tensor | None = None) -> PseudoLabels:
    """Hard labels and their confidence.

    Args:
        logits: Floating point (B, C, H, W), before the softmax; half precision is computed in
            float32.
        valid: (B, H, W), any dtype, 1 (or True) where a pixel counts; None: everywhere. 255, with
            which a transform may pad masks, does not count.

    Returns:
        Labels, their probability and whether pixels count, each (B, H, W); no gradient.

    Raises:
        ValueError: Wrong shapes.
    """
    if logits.dim() != 4 or not logits.is_floating_point():
        raise ValueError(f'logits must be floating point (B, C, H, W), got {tuple(logits.shape)} '
                         f'{logits.dtype}')
    confidence, label = logits.float().softmax(1).max(1)
    if valid is None:
        return PseudoLabels(label, confidence, torch.ones_like(label, dtype=torch.bool))
    if valid.shape != label.shape:
        raise ValueError(
            f'valid {tuple(valid.shape)} does not fit predictions {tuple(label.shape)}')
    return PseudoLabels(label, confidence, valid.to(label.device) == 1)


def confident_cross_entropy(logits: Tensor, target: PseudoLabels, threshold: float) -> Tensor:
    """Cross-entropy on confident pixels, divided by the number of all pixels that are not padding.

    ``sum(CE * [confidence >= threshold and valid]) / number of valid pixels``
    (docs/behavior/unimatch.md#unimatch-step): unconfident pixels make the loss smaller, they do not
    leave the mean. Padding leaves it. A batch of nothing but padding gives 0.

    Args:
        logits: (B, C, H, W) at the size of the labels.
        target: Pseudo-labels of the same images.
        threshold: Least confidence that counts, in [0, 1]; 0 takes every valid pixel.

    Returns:
        0-d float32 tensor.

    Raises:
        ValueError: Sizes differ.
    """
    if logits.shape[0] != target.label.shape[0] or logits.shape[-2:] != target.label.shape[-2:]:
        raise ValueError(f'logits {tuple(logits.shape)} and pseudo-labels '
                         f'{tuple(target.label.shape)} must have the same batch and size')
    values = F.cross_entropy(logits.float(), target.label,
                             reduction='none') * target.mask(threshold)
    return values.sum() / target.valid.sum().clamp(min=1)
