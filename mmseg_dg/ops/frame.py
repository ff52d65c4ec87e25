"""Arrays put into a frame of fixed size.

Shapes: H x W pixels.
"""
from collections.abc import Sequence
from typing import Optional

import mmcv
import numpy as np


def center_crop_pad(array: np.ndarray, size: Sequence[int], value: int) -> np.ndarray:
    """``array`` (H, W, ...) cut or filled with ``value`` to (height, width) around its center."""
    # rows above and columns at the left that are cut off
    starts = [max(0, (have - want) // 2) for have, want in zip(array.shape, size)]
    array = array[starts[0]:starts[0] + size[0], starts[1]:starts[1] + size[1]]
    return pad_centered(array, size, value)


def pad_centered(array: np.ndarray, size: Sequence[int], value: int) -> np.ndarray:
    """``array`` (H, W, ...) filled with ``value`` on all sides to at least (height, width)."""
    missing = [max(0, want - have) for have, want in zip(array.shape, size)]
    if not any(missing):
        return np.ascontiguousarray(array)
    # (before, after) of each axis, the odd one after; axes behind width are not padded
    sides = [(m // 2, m - m // 2) for m in missing] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, sides, constant_values=value)


def in_frame(image: np.ndarray, frame: Sequence[int],
             scale_factor: Optional[Sequence[float]]) -> np.ndarray:
    """An image as loaded, put into the frame it was evaluated in (for pictures of predictions).

    Args:
        image: uint8 (H, W, 3).
        frame: ``ori_shape`` of its sample after ``CenterCropPad``.
        scale_factor: (width, height) factors of ``ResizeToHeight``; None for none.

    Returns:
        uint8, of the frame's height and width: cut around the center, or padded with 0.
    """
    if image.shape[:2] == tuple(frame[:2]):
        return image
    if scale_factor is not None:
        # (width, height), as mmcv orders sizes, rounded as its transforms do
        size = [int(side * factor + 0.5) for side, factor in zip(image.shape[1::-1], scale_factor)]
        image = mmcv.imresize(image, tuple(size))
    return center_crop_pad(image, frame[:2], 0)
