"""Cross-entropy on the hard pixels of a batch.

Shapes: B images, C classes, H x W pixels.
"""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.ops.labels import check_ignore_index
from mmseg_dg.registry import MODELS


def ohem_mask(logits: Tensor, labels: Tensor, threshold: float, min_kept: int,
              ignore_index: int = 255) -> Tensor:
    """Pixels whose own class is predicted with a probability of at most ``threshold``, or of more
    where they would be fewer than ``min_kept``.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) int64.
        threshold: Probability of the label from which on a pixel is easy.
        min_kept: Pixels of the batch that are kept at least (the hardest ones); fewer valid pixels
            are all kept.
        ignore_index: Label that is never kept.

    Returns:
        bool (B, H, W).
    """
    with torch.no_grad():
        check_ignore_index(logits.shape[1], ignore_index)
        valid = labels != ignore_index
        safe = labels.masked_fill(~valid, 0)  # gather needs an id that exists
        # of each pixel's own class, (B, H, W)
        probability = logits.float().softmax(1).gather(1, safe.unsqueeze(1)).squeeze(1)
        ordered = probability[valid].sort().values
        if ordered.numel() == 0:
            return valid
        # the largest probability that is kept: the threshold, or that of pixel number ``min_kept``
        limit = ordered[min(min_kept, ordered.numel()) - 1].clamp(min=threshold)
        return valid & (probability <= limit)


@MODELS.register_module()
class OHEMCrossEntropyLoss(nn.Module):
    """Mean cross-entropy over the hard pixels (online hard example mining).

    UniMatch's supervised loss on Cityscapes: threshold 0.7 and at least 200 000 pixels per forward
    pass of 2 images (docs/behavior/unimatch.md#unimatch-settings), which is 100 000 per image for
    any batch size. MMSegmentation's ``OHEMPixelSampler`` chooses the same pixels up to ties, but
    its loss divides by all pixels of the batch instead of the kept ones, so that the loss would
    shrink with the share of easy pixels.

    Args:
        threshold: Probability of the true class above which a pixel is left out.
        min_kept_per_image: Pixels that are kept at least, times the number of labeled images in
            the forward pass.
        loss_weight: Factor on the loss.
        loss_name: Name in the log; must contain ``loss``.

    Raises:
        ValueError: Arguments without meaning.
    """
    def __init__(self, threshold: float = 0.7, min_kept_per_image: int = 100000,
                 loss_weight: float = 1.0, loss_name: str = 'loss_ce') -> None:
        super().__init__()
        if not 0 <= threshold <= 1 or min_kept_per_image < 1:
            raise ValueError('threshold is a probability and min_kept_per_image at least 1, got '
                             f'{threshold} and {min_kept_per_image}')
        self.threshold, self.min_kept_per_image = threshold, min_kept_per_image
        self.loss_weight, self.loss_name = loss_weight, loss_name

    def forward(self, logits: Tensor, labels: Tensor, weight: Optional[Tensor] = None,
                ignore_index: int = 255) -> Tensor:
        """Mean cross-entropy over the hard pixels, 0-d.

        Args:
            logits: (B, C, H, W) at the size of the labels.
            labels: (B, H, W) int64.
            weight: Per-pixel factor of the numerator, (B, H, W), or None. Pixels of weight 0 are
                not chosen.
            ignore_index: Label that does not count.
        """
        # ignored where the weight is 0, for the choice only
        counted = labels if weight is None else labels.masked_fill(weight <= 0, ignore_index)
        kept = ohem_mask(logits, counted, self.threshold, self.min_kept_per_image * len(labels),
                         ignore_index)
        values = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index,
                                 reduction='none') * kept
        if weight is not None:
            values = values * weight
        return self.loss_weight * values.sum() / kept.sum().clamp(min=1)
