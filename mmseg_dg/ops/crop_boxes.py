"""Boxes of crops and sliding windows: (y1, y2, x1, x2) in pixels, ends excluded.

Source: HRDA (Hoyer et al., ECCV 2022); docs/behavior/daformer_hrda.md#scales-and-detail-crops.

Shapes: H x W pixels.
"""
from __future__ import annotations

from typing import Protocol

from torch import Tensor

#: (y1, y2, x1, x2) in pixels, ends excluded.
CropBox = tuple[int, int, int, int]


class Randint(Protocol):
    """What draws offsets: ``numpy.random.RandomState``, or recorded numbers in its place."""
    def randint(self, low: int, high: int) -> int:
        """An integer in [low, high)."""
        ...


def draw_crop_box(image_size: tuple[int, int], crop_size: tuple[int, int], divisor: int,
                  rng: Randint) -> CropBox:
    """Draw one detail crop.

    Per axis, rows first, the offset is ``rng.randint(0, (margin + 1) // divisor) * divisor`` with
    ``margin = image - crop``. As in the official code, an offset equal to the margin is therefore
    never drawn with a ``divisor`` above 1 that divides the margin: image 1024, crop 512, divisor 8
    give 0, 8, ..., 504.

    Args:
        image_size: (H, W) of the training image.
        crop_size: (h, w) of the crop.
        divisor: Offsets are multiples of it.
        rng: ``numpy.random.RandomState``, or anything with its ``randint``. Not touched when image
            and crop have one size, nor for an axis that leaves no choice.

    Returns:
        (y1, y2, x1, x2) in pixels, ends excluded.

    Raises:
        ValueError: The crop is larger than the image.
    """
    (height, width), (h, w) = image_size, crop_size
    if h > height or w > width:
        raise ValueError(f'the detail crop {h}x{w} is larger than the image {height}x{width} '
                         '(height x width): make hr_crop_size smaller or the training crop larger')
    if divisor < 1:
        raise ValueError(f'crop offsets must be multiples of a positive number, got {divisor}')
    y, x = (_draw_offset(margin, divisor, rng) for margin in (height - h, width - w))
    return y, y + h, x, x + w


def _draw_offset(margin: int, divisor: int, rng: Randint) -> int:
    """Where the crop begins on one axis: a multiple of ``divisor``, at most ``margin`` (how much
    longer the image is than the crop), by HRDA's formula (:func:`draw_crop_box`).
    """
    choices = (margin + 1) // divisor
    if margin == 0 or choices == 0:
        return 0
    return int(rng.randint(0, choices)) * divisor


def sliding_boxes(image_size: tuple[int, int], crop_size: tuple[int, int],
                  stride: tuple[int, int]) -> list[CropBox]:
    """Windows that cover an image, row by row; the last of each axis is moved back to end at the
    border.

    Args:
        image_size: (H, W).
        crop_size: (h, w) of a window; an axis of the image shorter than that gets windows of its
            own length.
        stride: Distance of neighboring windows, (rows, columns).

    Returns:
        Boxes (y1, y2, x1, x2) in pixels.

    Raises:
        ValueError: A stride below 1 or above the window, which would leave gaps.
    """
    for crop, step in zip(crop_size, stride):
        if not 1 <= step <= crop:
            raise ValueError(f'the stride {tuple(stride)} of sliding windows must lie between 1 '
                             f'and their size {tuple(crop_size)}')
    rows, columns = (_spans(*axis) for axis in zip(image_size, crop_size, stride))
    return [(y1, y2, x1, x2) for y1, y2 in rows for x1, x2 in columns]


def _spans(length: int, crop: int, step: int) -> list[tuple[int, int]]:
    """(start, end) of windows ``step`` apart; the last one is moved back to end at ``length``."""
    # the first window, and as many steps as what it leaves over needs, rounded up
    count = max(length - crop + step - 1, 0) // step + 1
    ends = [min(i * step + crop, length) for i in range(count)]
    return [(max(end - crop, 0), end) for end in ends]


def shrink_box(box: CropBox, factor: float) -> CropBox:
    """The box on a map whose sides are ``factor`` times smaller; coordinates are rounded down."""
    y1, y2, x1, x2 = (int(value / factor) for value in box)
    return y1, y2, x1, x2


def shift_box(box: CropBox, y: int, x: int) -> CropBox:
    """The box moved by ``y`` rows and ``x`` columns."""
    return box[0] + y, box[1] + y, box[2] + x, box[3] + x


def cut_box(x: Tensor, box: CropBox) -> Tensor:
    """The part of ``x`` (..., H, W) inside the box: a view, (..., y2 - y1, x2 - x1)."""
    return x[..., box[0]:box[1], box[2]:box[3]]
