"""Feature distance of the student's encoder to the frozen ImageNet encoder.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

import torch
from torch import Tensor, nn

from mmseg_dg.ops import check_ignore_index, class_membership, downscale_labels, feature_distance
from mmseg_dg.registry import MODELS


class DistanceRegion(NamedTuple):
    """One scale of one pass: student features, ImageNet features (B, C, h, w), labels (B, H, W) of
    the same region.
    """
    features: Tensor
    reference: Tensor
    labels: Tensor


#: From the count (0-d) of this process to the mean over the processes.
Reduction = Callable[[Tensor], Tensor]


@MODELS.register_module()
class FeatureDistance(nn.Module):
    """Keeps encoder features of (thing) classes near those of ImageNet pretraining.

    The mean over the masked cells of ``||f_student - f_ImageNet||_2`` (over channels), times
    ``weight``. A cell belongs to a class when that class covers at least ``min_ratio`` of its
    pixels. Source: DAFormer, thing-class ImageNet feature distance;
    docs/behavior/daformer_hrda.md#feature-distance.

    Args:
        weight: Factor of the loss (0.005 in the paper).
        classes: trainIds that count; None uses every cell.
        min_ratio: Share of a cell's pixels its winning class must have, in (0, 1].
        scale: ``'last'`` for the context scale only, ``'all'`` for every scale of a
            multi-resolution network.
        num_classes: Number of classes.
        ignore_index: Label to leave out.

    Raises:
        ValueError: Bad weight, ratio or scale.
    """
    def __init__(self, weight: float = 0.005,
                 classes: Optional[Sequence[int]] = (6, 7, 11, 12, 13, 14, 15, 16, 17, 18),
                 min_ratio: float = 0.75, scale: str = 'last', num_classes: int = 19,
                 ignore_index: int = 255) -> None:
        super().__init__()
        if weight <= 0:
            raise ValueError(f'feature distance weight must be positive, got {weight}: use '
                             'feature_distance=None to switch it off')
        if not 0 < min_ratio <= 1:
            raise ValueError(f'min_ratio must lie in (0, 1], got {min_ratio}')
        if scale not in ('last', 'all'):
            raise ValueError(f"scale must be 'last' or 'all', got {scale!r}")
        self.weight, self.min_ratio, self.scale = weight, min_ratio, scale
        # by default the things of Cityscapes: light, sign, person ... bicycle; None: all pixels
        self.classes = None if classes is None else tuple(classes)
        check_ignore_index(num_classes, ignore_index)
        self.num_classes, self.ignore_index = num_classes, ignore_index

    def cell_mask(self, labels: Tensor, features: Tensor) -> Optional[Tensor]:
        """Cells of the feature map that count, bool (B, h, w); None: all, as no classes are given.

        Args:
            labels: (B, H, W) int64.
            features: (B, C, h, w) of the same region.

        Raises:
            ValueError: ``features`` do not have one cell per whole square of pixels.
        """
        if self.classes is None:
            return None
        # side of a cell in pixels; a cell has a class that fills at least ``min_ratio`` of it
        factor = labels.shape[-1] // features.shape[-1]
        cells = downscale_labels(labels, factor, self.min_ratio, self.num_classes,
                                 self.ignore_index)
        if cells.shape[-2:] != features.shape[-2:]:
            raise ValueError(f'labels {tuple(labels.shape)} scaled down by {factor} give '
                             f'{tuple(cells.shape[-2:])} cells, but the features are '
                             f'{tuple(features.shape[-2:])}: use a crop that the stride divides')
        return class_membership(cells, self.classes)

    def forward(self, regions: Sequence[DistanceRegion],
                reduce_count: Optional[Reduction] = None) -> tuple[Tensor, Optional[Tensor]]:
        """The weighted distance over all regions.

        Args:
            regions: One per scale; their masked means are added.
            reduce_count: Maps this process's number of masked cells to the mean number per process,
                where statistics are shared between processes; None keeps the process's own.

        Returns:
            (loss, mask): 0-d loss with a graph, also when no cell counts (then its gradient is
            exactly zero), and the mask of the first region (bool (B, h, w), or None).
        """
        parts: list[Tensor] = []
        first_mask = None
        for i, region in enumerate(regions):
            mask = self.cell_mask(region.labels, region.features)
            first_mask = mask if i == 0 else first_mask
            value, count = feature_distance(region.features, region.reference, mask,
                                            reduction='sum_count')
            if reduce_count is not None:
                count = reduce_count(count)
            # an empty mask divides a zero sum, whose gradient is zero, by one
            parts.append(value
                         / torch.where(count > 0, count, torch.ones_like(count)).to(value.dtype))
        return self.weight * sum(parts[1:], parts[0]), first_mask
