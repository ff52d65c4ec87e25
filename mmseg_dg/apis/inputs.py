"""What can be predicted: files, folders, patterns, Pillow images and arrays, and how each becomes
an image.

Shapes: H x W pixels.
"""
import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor

from mmseg_dg.datasets.bit_depth import bits_used, to_uint8
from mmseg_dg.datasets.folder_scan import (
    OTHER_ENDING,
    PICTURE_SUFFIXES,
    endings,
    left_out_text,
    scan_folder,
)

_WANTED = 'give uint8 (H, W, 3) in BGR order, as OpenCV reads'
_SURE_16_BITS = 2**14  # a value from here on shows that more than 14 bits are used


class Input(NamedTuple):
    """One image to predict.

    Attributes:
        name: Path of a file; ``'array uint8 (80, 96, 3)'`` and the like for others, with their
            number in a list.
        value: Path, Pillow image or array.
        below: Path relative to the folder that was given, the file's name for a single file; '' for
            arrays.
    """
    name: str
    value: Any
    below: str = ''

    @property
    def is_file(self) -> bool:
        """Whether ``value`` is the path of a file; else it is the image itself."""
        return isinstance(self.value, str)


def list_inputs(inputs: Any) -> tuple[list[Input], bool]:
    """The single images that ``inputs`` means, in the order of their predictions.

    Args:
        inputs: A path of a file, a folder (its images at any depth, sorted, what is hidden left
            out), a pattern (``'photos/**/*.jpg'``, sorted), a Pillow image, an array, or several of
            all these.

    Returns:
        The images, and whether ``inputs`` is a single one (a file, a Pillow image or an array).

    Raises:
        FileNotFoundError: No such file or folder, a folder without images, a pattern that fits
            none.
        TypeError: Something else.
    """
    if _is_single(inputs):
        items = _expand(inputs, '')
        is_path = isinstance(inputs, (str, os.PathLike))
        is_file = is_path and (Path(inputs).is_file() or '://' in str(inputs))
        # a path that is no file is a folder or a pattern, which gives a list even for one image
        return items, is_file or not is_path
    if isinstance(inputs,
                  (dict, bytes)) or not isinstance(inputs, Iterable) or isinstance(inputs, Tensor):
        raise TypeError(f'cannot predict {type(inputs).__name__}: give paths, folders, patterns, '
                        'Pillow images or uint8 arrays (H, W, 3), one or a list')
    return [
        item for number, part in enumerate(inputs) for item in _expand(part, f'input {number}: ')
    ], False


def _is_single(value: Any) -> bool:
    """Whether a value is one path, array or Pillow image, not several of them."""
    return isinstance(value, (str, os.PathLike, np.ndarray, Image.Image))


def _expand(value: Any, number: str) -> list[Input]:
    """The images that one argument of ``predict`` stands for: itself, a folder's, or a pattern's.

    ``number`` begins the names of images without a path (``'input 3: '``), for messages.
    """
    if isinstance(value, np.ndarray):
        return [Input(f'{number}array {value.dtype} {value.shape}', value)]
    if isinstance(value, Image.Image):
        return [
            Input(
                f'{number}Pillow image {value.mode} {value.width}x{value.height} (width x '
                'height)', value)
        ]
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f'{number}cannot predict {type(value).__name__}: give a path, a folder, a '
                        'pattern, a Pillow image or a uint8 array (H, W, 3)')
    path = os.fspath(value)
    if os.path.isfile(path) or '://' in path:  # remote files are taken on trust
        return [Input(path, path, os.path.basename(path))]
    if os.path.isdir(path):
        return _of_folder(path)
    if glob.has_magic(path):
        return _of_pattern(path)
    raise FileNotFoundError(f'{number}no image or folder at {path}')


def _of_folder(path: str) -> list[Input]:
    """All images below a folder, and a line of the log about what is there besides; a folder
    without images is refused.
    """
    found = scan_folder(path, PICTURE_SUFFIXES)
    # ``left_out``: reason (other ending, hidden, ...) -> names of files that were not taken
    left_out = dict(found.left_out)
    # the scan knows .jpg and .JPG, but a file that is given by itself may end with .Jpg
    mixed = [name for name in left_out.get(OTHER_ENDING, ()) if _is_picture(name)]
    if mixed:
        left_out[OTHER_ENDING] = [n for n in left_out[OTHER_ENDING] if not _is_picture(n)]
    left_out = {reason: names for reason, names in left_out.items() if names}
    files = sorted([*found.files, *mixed])
    if not files:
        others = [name for names in left_out.values() for name in names]
        raise FileNotFoundError(f'no images in {path}: '
                                + (f'it has {endings(others)}' if others else 'it is empty')
                                + f'; images end with {", ".join(PICTURE_SUFFIXES[::2])}')
    if left_out:
        print_log(f'{path}: not predicted: {left_out_text(left_out)}', logger='current')
    return [Input(os.path.join(path, name), os.path.join(path, name), name) for name in files]


def _is_picture(name: str) -> bool:
    """Whether a file's ending, in capitals or not, is that of a picture."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def _of_pattern(pattern: str) -> list[Input]:
    """Images that fit a shell pattern, named from its first folder without wildcards on."""
    matched = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
    found = [path for path in matched if _is_picture(path)]
    if not found:
        raise FileNotFoundError(f'no image fits the pattern {pattern}'
                                + ('; it fits '
                                   f'{endings(matched)}' if matched else ''))
    # ``below`` begins after the last folder before the first wildcard
    fixed = pattern[:next(i for i, sign in enumerate(pattern) if sign in '*?[')]
    root = os.path.dirname(fixed) or '.'
    return [Input(path, path, os.path.relpath(path, root)) for path in found]


def to_bgr(item: Input, bit_depth: Optional[int] = None) -> np.ndarray:
    """A Pillow image or an array as the network's pipeline takes it.

    Args:
        item: No file.
        bit_depth: Bits that values of 16-bit images use, as the config's loading step says; None:
            not said.

    Returns:
        uint8 (H, W, 3), BGR.

        * uint8 (H, W, 3): as it is; uint8 (H, W) or (H, W, 1): gray, repeated;
        * floating-point numbers in 0..1: times 255, rounded;
        * uint16: scaled by ``bit_depth``. Without it by 16 bits, ``value * 255 / 65535``, if a
          value of 16384 or more shows that these are used; smaller ones may as well be of 12 or 14
          bits, and are refused;
        * Pillow images of any mode as :meth:`PIL.Image.Image.convert` turns them into RGB, alpha
          not used; those of 16 bits and of floating-point numbers as arrays are.

    Raises:
        ValueError: Any other type or shape, an empty array, values outside 0..1.
    """
    value = item.value
    if isinstance(value, Image.Image):
        # modes of floating-point numbers (F) and of 16 or 32 bits (I, I;16, I;16B)
        if value.mode == 'F' or value.mode.startswith('I'):
            value = _wide_pillow(value)
        else:
            value = np.asarray(value.convert('RGB'))[..., ::-1]  # RGB -> BGR
    _check_shape(item.name, value)
    if value.ndim == 2 or value.shape[2] == 1:
        # (H, W) or (H, W, 1) -> (H, W, 3)
        value = np.repeat(value.reshape(*value.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(_as_uint8(item.name, value, bit_depth))


def _wide_pillow(image: Image.Image) -> np.ndarray:
    """An image of more than 8 bits as PIL decoded it, in the machine's byte order; uint16 where the
    values fit.
    """
    array = np.asarray(image)
    if array.dtype != np.int32:
        return array.astype(array.dtype.newbyteorder('='))
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > 65535:
        return array  # int32, which _as_uint8 refuses
    # older releases of Pillow decode a 16-bit PNG as int32
    return array.astype(np.uint16)


def _check_shape(name: str, array: np.ndarray) -> None:
    """Refuse (ValueError) an array that is no image (H, W), (H, W, 1) or (H, W, 3).

    Args:
        name: Of the input, for the message.
        array: Of any shape.
    """
    if array.ndim == 4:
        raise ValueError(f'{name}: a batch of images is given as a list of arrays; {_WANTED}')
    if array.ndim not in (2, 3):
        raise ValueError(f'{name}: not the shape of an image; {_WANTED}')
    if array.size == 0:
        raise ValueError(f'{name}: an empty array; {_WANTED}')
    if array.ndim == 3 and array.shape[2] not in (1, 3):
        reason = 'channels come last' if array.shape[0] in (
            1, 3, 4) else 'three channels (or one) are taken'
        if array.shape[2] == 4:
            reason = ('the fourth channel may be alpha or anything else, give array[..., :3] to '
                      'leave it out')
        raise ValueError(f'{name}: {reason}; {_WANTED}')


def _as_uint8(name: str, array: np.ndarray, bit_depth: Optional[int]) -> np.ndarray:
    """Scale an image array of any of the types that :func:`to_bgr` takes to uint8, by its rules;
    ValueError for other types and values.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        largest = int(array.max())
        if bit_depth is None and largest < _SURE_16_BITS:
            raise ValueError(f'{name}: its largest value {largest} needs {bits_used(largest)} bits '
                             f'only: set bit_depth={bits_used(largest)} (or 16) of '
                             f'LoadImageFromFile, or {_WANTED}')
        return to_uint8(array, bit_depth or 16, name)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (0 <= low and high <= 1):  # also true where a value is nan
            raise ValueError(f'{name}: floating-point images have values in 0..1, these are '
                             f'{low:g}..{high:g}; {_WANTED}')
        return np.rint(array * 255).astype(np.uint8)
    raise ValueError(f'{name}: the type {array.dtype} is not taken; {_WANTED}')
