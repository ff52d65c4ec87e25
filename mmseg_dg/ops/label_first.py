"""Which regions of an image are worth a person's time: where the prediction is unsure and mixed.

Source: RIPU, Xie et al., "Toward Fewer Annotations: Active Learning via Region Impurity and
Prediction Uncertainty",
CVPR 2022: the product of the entropy of the classes that are predicted in a region and the mean
entropy of its pixels. The paper takes a region around every pixel; here regions are rectangles that
cover the image once, which a person can be handed.

Shapes: C classes, H x W pixels.
"""
import math
from typing import NamedTuple

import torch
from torch import Tensor

from .crop_boxes import CropBox, sliding_boxes
from .entropy import pixel_entropy


class Region(NamedTuple):
    """One rectangle.

    Attributes:
        box: (y1, y2, x1, x2) in pixels, ends excluded.
        score: Impurity times uncertainty, in [0, 1]: 0 for one sure class.
        uncertainty: Mean entropy of its pixels, 1 for uniform predictions.
        impurity: Entropy of the shares of predicted classes, 1 for all classes equally often.
        classes: Predicted class ids, most frequent first.
    """
    box: CropBox
    score: float
    uncertainty: float
    impurity: float
    classes: tuple[int, ...]


@torch.no_grad()
def score_regions(logits: Tensor, size: int) -> list[Region]:
    """Regions of one image, row by row.

    Args:
        logits: Floating point (C, H, W), C >= 2.
        size: Side of a region in pixels; cut to the image where that is smaller. The last regions
            of rows and columns are moved back to the border and overlap their neighbors.

    Returns:
        One :class:`Region` per window.

    Raises:
        ValueError: ``size`` below 1, or logits of another shape or of a single class.
    """
    if size < 1 or logits.dim() != 3:
        raise ValueError(
            f'logits (C, H, W) and a size of at least 1 are needed, got {tuple(logits.shape)}, '
            f'{size}')
    classes, height, width = logits.shape
    entropy = pixel_entropy(logits[None], normalized=True)[0].double()  # (H, W)
    ids = logits.argmax(0)
    side = (min(size, height), min(size, width))
    regions = []
    for box in sliding_boxes((height, width), side, side):
        y1, y2, x1, x2 = box
        # pixels of each class in the box, (C,)
        counts = torch.bincount(ids[y1:y2, x1:x2].flatten(), minlength=classes).double()
        shares = counts[counts > 0] / counts.sum()
        impurity = float(-(shares * shares.log()).sum()) / math.log(classes) + 0.  # -0. becomes 0.
        uncertainty = float(entropy[y1:y2, x1:x2].mean())
        # classes by falling number of pixels, equal ones by id
        keys = [(-float(number), i) for i, number in enumerate(counts) if number > 0]
        order = [i for _, i in sorted(keys)]
        regions.append(
            Region(box=box, score=impurity * uncertainty, uncertainty=uncertainty,
                   impurity=impurity, classes=tuple(order)))
    return regions
