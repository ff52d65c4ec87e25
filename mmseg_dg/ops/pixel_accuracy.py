"""The share of correct pixels that heads log in training.

Shapes: B images, C classes, H x W pixels.
"""

from typing import Optional

import torch
from torch import Tensor


def pixel_accuracy(logits: Tensor, labels: Tensor, ignore_index: Optional[int]) -> Tensor:
    """Percent of the labeled pixels whose largest logit is that of their class.

    The number is that of ``mmseg.models.losses.accuracy`` (MMSegmentation 1.2.2); that one sorts
    with ``topk``, which on a CPU takes as long as the loss and its gradients, and waits for the
    device to count pixels.

    Args:
        logits: (B, C, H, W), floating point.
        labels: (B, H, W) int64.
        ignore_index: Label that is not counted; None: all count.

    Returns:
        float32 (1,); 100 where no pixel is labeled.
    """
    # added to both numbers, as in mmseg's: without a labeled pixel the share is eps / eps = 1
    eps = torch.finfo(torch.float32).eps
    counted = torch.ones_like(labels,
                              dtype=torch.bool) if ignore_index is None else labels != ignore_index
    correct = (logits.max(dim=1).indices == labels) & counted
    percent_of_one = 100.0 / (counted.sum().double() + eps)
    # (1,), as mmseg's accuracy returns it
    return (correct.sum().float() + eps).reshape(1) * percent_of_one.float()
