"""From images of any depth to the 8 bits a network here is fed with: one rule, stated, for files
and for arrays.
"""
from typing import Optional

import numpy as np

DEPTHS = tuple(range(8, 17))  # 8 to 16 bits


def check_bit_depth(bit_depth: Optional[int], owner: str) -> Optional[int]:
    """The argument ``bit_depth`` after a check: 8..16, or None where it is not given.

    Raises:
        ValueError: Another value.
    """
    if bit_depth is None:
        return None
    if isinstance(bit_depth, bool) or bit_depth not in DEPTHS:
        raise ValueError(f'{owner}: bit_depth is the number of bits the values use, 8 to 16 (12 '
                         f'for a camera of 12 bits whose files have 16), got {bit_depth!r}')
    return int(bit_depth)


def to_uint8(image: np.ndarray, bit_depth: int, name: str) -> np.ndarray:
    """Scale whole numbers of ``bit_depth`` bits linearly to 0..255: ``round(value * 255 / (2 **
    bit_depth - 1))``.

    Args:
        image: uint8 (returned as it is) or uint16, any shape, values 0..2 ** bit_depth - 1.
        bit_depth: Bits the values use; 12 maps 0..4095 to 0..255.
        name: Of the image, for the message.

    Returns:
        uint8, same shape.

    Raises:
        ValueError: A value needs more bits than ``bit_depth``.
    """
    if image.dtype == np.uint8:
        return image
    top = 2**bit_depth - 1
    largest = int(image.max(initial=0))
    if largest > top:
        raise ValueError(f'{name}: the value {largest} needs {largest.bit_length()} bits, but '
                         f'bit_depth={bit_depth} says 0..{top}: correct bit_depth')
    # floor(value * 255 / top + 1 / 2) in whole numbers: rounded, halves up, without float errors
    table = (np.arange(top + 1, dtype=np.int64) * 510 + top) // (2 * top)
    return table.astype(np.uint8)[image]


def bits_used(largest: int) -> int:
    """The bit depth that the largest value (0..65535) of an image suggests: the smallest of 10, 12,
    14 and 16, those of cameras, that holds it.
    """
    return next(bits for bits in (10, 12, 14, 16) if largest < 2**bits)
