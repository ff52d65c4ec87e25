"""CutMix: a box of another image pasted over an image, its labels and everything else that belongs
to its pixels.

Parameters of the box as UniMatch uses them (docs/behavior/unimatch.md#unimatch-data-pipeline).

Shapes: B images, C channels, H x W pixels.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .crop_boxes import CropBox

#: Draws until a box fits. With the default ranges 6 % of the draws of the largest box do (measured
#: on squares).
_TRIES = 1000


def draw_cutmix_box(
    size: tuple[int, int], rng: np.random.RandomState, probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4), ratio: tuple[float, float] = (0.3, 1 / 0.3)
) -> CropBox | None:
    """Draw the box of one image, or None for no mixing.

    The area is drawn once; ratio and corner are drawn again until the box lies inside the image.
    (The ratio too: a box of 0.4 of the area and ratio 1 / 0.3 is higher than any square crop.)

    Args:
        size: (H, W) of the crop.
        rng: :class:`numpy.random.RandomState`.
        probability: Of mixing at all.
        area: Range of the box's share of the crop's area, uniform.
        ratio: Range of height / width, uniform.

    Returns:
        (y1, y2, x1, x2) in pixels, ends excluded; None without mixing. Both sides are at least one
        pixel.

    Raises:
        ValueError: Ranges without meaning, or ranges of which no box fits.
    """
    check_cutmix(probability, area, ratio)
    if rng.uniform() >= probability:
        return None
    height, width = size
    pixels = rng.uniform(*area) * height * width
    for _ in range(_TRIES):
        aspect = rng.uniform(*ratio)  # h / w, with h w = pixels
        h, w = max(1, int(math.sqrt(pixels * aspect))), max(1, int(math.sqrt(pixels / aspect)))
        y, x = int(rng.randint(0, height)), int(rng.randint(0, width))
        if y + h <= height and x + w <= width:
            return y, y + h, x, x + w
    raise ValueError(f'no box with area {area} and ratio {ratio} fits into a crop of '
                     f'{height}x{width} (height x width): make the ranges narrower')


def check_cutmix(
    probability: float = 0.5, area: tuple[float,
                                          float] = (0.02, 0.4), ratio: tuple[float,
                                                                             float] = (0.3, 1 / 0.3)
) -> None:
    """Raise ValueError for arguments of :func:`draw_cutmix_box` that have no meaning."""
    if not 0 <= probability <= 1:
        raise ValueError(f'the probability of CutMix must lie in [0, 1], got {probability}')
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f'area is a range of shares of the crop in (0, 1], got {area}')
    if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f'ratio is a range of height / width, both positive, got {ratio}')


def paste_boxes(base: Tensor, patch: Tensor, boxes: Sequence[CropBox | None]) -> Tensor:
    """Paste box i of ``patch[i]`` over ``base[i]``.

    Args:
        base: Images (B, C, H, W), or labels, confidences or masks (B, H, W), any dtype.
        patch: The same shape and dtype.
        boxes: One (y1, y2, x1, x2) or None per image.

    Returns:
        A new tensor; ``base`` itself when there is no box at all.

    Raises:
        ValueError: Shapes differ, or there is not one box per image.
    """
    if base.shape != patch.shape:
        raise ValueError(f'both batches must have one shape, got {tuple(base.shape)} and '
                         f'{tuple(patch.shape)}')
    if len(boxes) != len(base):
        raise ValueError(f'{len(base)} images need as many boxes (or None), got {len(boxes)}')
    if all(box is None for box in boxes):
        return base
    mixed = base.clone()
    for i, box in enumerate(boxes):
        if box is not None:
            y1, y2, x1, x2 = box
            mixed[i, ..., y1:y2, x1:x2] = patch[i, ..., y1:y2, x1:x2]
    return mixed
