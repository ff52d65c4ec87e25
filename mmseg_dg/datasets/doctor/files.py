"""One sample at a time: can its image and label be read, do they fit, which ids does the label
have.
"""
import copy
import io
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import mmengine.fileio as fileio
import numpy as np
from PIL import ImageFile

from ..bit_depth import bits_used
from ..image_header import ImageHeader, open_unlimited, read_header
from ..label_tables import IGNORE, count_ids, ids_outside, lookup_table
from ..transforms import LoadAnnotations
from ..transforms.loading import without_channel

# 1: as stored, 2..4: mirrored or upside down, 5..8: width and height swapped
_EXIF_ORIENTATION = 0x0112
_NAMED_IDS = 10


@dataclass(frozen=True)
class Reading:
    """How the files of one dataset are read.

    Attributes:
        loader: Its label loading step; None: unlabeled.
        num_classes: Number of classes.
        ignore_index: Label that is no class.
        backend_args: mmengine's file backend.
        thorough: Decode every image; False: headers and end marks of images only.
        image_loader: Its image loading step, a :class:`LoadImageFromFile` of this package; None:
            another one.
    """
    loader: Any
    num_classes: int
    ignore_index: int = IGNORE
    backend_args: Optional[dict] = None
    thorough: bool = True
    image_loader: Any = None


class Record(NamedTuple):
    """What was found in one sample.

    Attributes:
        problems: (kind, path, detail) each.
        size: (width, height) of the image as training sees it, None if unreadable.
        raw: (256,) pixels per id as in the file, None if no 8-bit ids could be read.
        mapped: (256,) pixels per id after the dataset's mapping.
        largest: Largest value of an image of more than 8 bits; None for others.
    """
    problems: list[tuple[str, str, str]]
    size: Optional[tuple[int, int]] = None
    raw: Optional[np.ndarray] = None
    mapped: Optional[np.ndarray] = None
    largest: Optional[int] = None


class _SampleFault(Exception):
    """A fault of one sample: its kind (a key of ``faults.KINDS``) is ``args[0]``, its description
    ``args[1]``.
    """


def examine_sample(info: dict, reading: Reading, with_label: bool = True) -> Record:
    """Examine one sample.

    Args:
        info: ``img_path`` and, where labels are loaded, ``seg_map_path``, ``label_map``,
            ``reduce_zero_label``.
        reading: How images and labels of the dataset are read, and how thoroughly.
        with_label: Also read the label.

    Returns:
        Problems as (kind, path, detail), size, pixels of each id before and after mapping, and the
        largest value of an image of more than 8 bits; None for what is not known.
    """
    problems: list[tuple[str, str, str]] = []
    size, orientation, largest = None, 1, None
    try:
        size, orientation, largest = _image_size(info['img_path'], reading, problems)
    except _SampleFault as fault:
        problems.append((fault.args[0], info['img_path'], fault.args[1]))
    if reading.loader is None or not with_label:
        return Record(problems, size, largest=largest)
    path = info['seg_map_path']
    turned_fault = ('exif_rotation', info['img_path'],
                    f'its EXIF orientation flag ({orientation}) turns or mirrors it')
    try:
        raw, mapped, shape = _label_counts(info, reading)
    except _SampleFault as fault:
        if orientation != 1:
            problems.append(turned_fault)
        return Record([*problems, (fault.args[0], path, fault.args[1])], size)
    # Training turns the image as its EXIF flag says, and not the label. That is right only where
    # the label is turned already, which shows where width and height are swapped (5 and more): it
    # has the turned image's size (``size``). In a square the sizes show nothing
    if orientation != 1 and not (orientation >= 5 and shape == size and shape[0] != shape[1]):
        problems.append(turned_fault)
    elif size is not None and shape != size:
        problems.append(('size_mismatch', path, f'label {shape[0]}x{shape[1]}, image '
                         f'{size[0]}x{size[1]} (width x height) '
                         f'{info["img_path"]}'))
    outside = ids_outside(mapped, reading.num_classes, reading.ignore_index)
    if outside:
        # JPEG blurs ids into each other: many that are no class
        lossy = path.lower().endswith(('.jpg', '.jpeg')) and len(outside) > 3
        ids = ', '.join(map(str,
                            outside[:_NAMED_IDS])) + (', ...' if len(outside) > _NAMED_IDS else '')
        problems.append(('lossy_label' if lossy else 'ids_outside', path,
                         f'ids {ids} are not in 0..{reading.num_classes - 1} and not '
                         f'{reading.ignore_index}'))
    elif not mapped[:reading.num_classes].any():
        problems.append(('no_known_class', path, f'every pixel is {reading.ignore_index}'))
    return Record(problems, size, raw, mapped, largest)


def _content(path: str, kind: str, backend_args: Optional[dict]) -> bytes:
    """A file's bytes; raises a fault of this kind where it is empty or cannot be read."""
    try:
        content = fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise _SampleFault(kind, f'cannot be read ({type(error).__name__})') from error
    if not content:
        raise _SampleFault(kind, 'the file is empty')
    return bytes(content)


def _open(content: bytes, kind: str) -> ImageFile.ImageFile:
    """An image file, opened but not decoded; a fault of this kind where it is none."""
    try:
        return open_unlimited(io.BytesIO(content))
    except (OSError, SyntaxError, ValueError) as error:
        raise _SampleFault(kind,
                           f'no image format is recognized ({type(error).__name__})') from error


def _decode(image: ImageFile.ImageFile, kind: str) -> None:
    """Decode an opened image; raises a fault of this kind where it is damaged."""
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:
        raise _SampleFault(kind, f'cut off or damaged: {error}') from error


def _image_size(path: str, reading: Reading,
                problems: list[tuple[str, str, str]]) -> tuple[tuple[int, int], int, Optional[int]]:
    """Size, orientation and largest value of an image; raises :class:`_SampleFault` for one that
    cannot be used.

    Args:
        path: Of the image.
        reading: How it is read.
        problems: Lesser ones are added to it.

    Returns:
        (width, height) as decoded for training, EXIF orientation 1..8 (1: loaded as stored), and
        the largest value of an image of more than 8 bits (None for others).
    """
    content = _content(path, 'unreadable_image', reading.backend_args)
    header = _checked_header(path, content, reading, problems)
    # more than 8 bits: the loading step itself decodes it, as Pillow may cut values down
    if header is not None and header.bits > 8 and reading.image_loader is not None:
        return (header.width, header.height), header.orientation, _largest(content, reading)
    image = _open(content, 'unreadable_image')
    if reading.thorough or not _has_end(image.format, content):
        _decode(image, 'unreadable_image')
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if image.format in ('JPEG',
                                                                                'MPO') else 1
    if orientation not in range(1, 9):  # 0 and what is no orientation: readers ignore it
        orientation = 1
    width, height = image.size
    # orientations 5 to 8 turn the image by a quarter
    return ((height, width) if orientation >= 5 else (width, height)), orientation, None


def _checked_header(path: str, content: bytes, reading: Reading,
                    problems: list[tuple[str, str, str]]) -> Optional[ImageHeader]:
    """What an image file says about itself, None for a format whose header is not known.

    Raises :class:`_SampleFault` for what the loading step would refuse; an alpha channel is added
    to ``problems``.
    """
    try:
        header = read_header(content)
    except OSError:
        return None  # the decoder says what is wrong
    if reading.image_loader is None:
        return header
    kind, why = reading.image_loader.fault(header)  # two empty texts for an image that is taken
    # for 16 bits without a stated depth, the values in the file tell what to state
    if kind == 'deep_image' and reading.thorough and not header.floating and header.bits <= 16:
        largest = _largest(content, reading, state=False)
        if largest is not None:
            why += f' (largest value here {largest}: {bits_used(largest)} bits)'
    if kind:
        raise _SampleFault(kind, why)
    if header.alpha:
        problems.append(('alpha_image', path, header.text))
    return header


def _largest(content: bytes, reading: Reading, state: bool = True) -> Optional[int]:
    """Largest value of an image of more than 8 bits; None in a quick examination, and for numbers
    with a point. ``state``: raise a fault where it needs more bits than ``bit_depth`` states.
    """
    if not reading.thorough:
        return None
    image = reading.image_loader.decode_deep(content)
    if image is None:
        raise _SampleFault('unreadable_image', 'cut off or damaged')
    if image.dtype.kind == 'f':  # stacks of numbers with a point have a range, not a depth
        return None
    largest = int(image.max(initial=0))
    if state and largest >= 2**reading.image_loader.bit_depth:
        raise _SampleFault(
            'deep_image', f'the value {largest} needs {largest.bit_length()} bits, '
            f'bit_depth={reading.image_loader.bit_depth}')
    return largest


def _has_end(file_format: Optional[str], content: bytes) -> bool:
    """Whether the file ends as its format should; what looks odd is decoded to be sure."""
    if file_format == 'PNG':
        return b'IEND' in content[-16:]
    return file_format == 'JPEG' and content.rstrip(b'\0')[-2:] == b'\xff\xd9'


def _label_counts(info: dict, reading: Reading) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Pixels per id (256,) of a label before and after the dataset's mapping, and (width, height);
    raises :class:`_SampleFault` for what is no label.
    """
    path, loader = info['seg_map_path'], reading.loader
    # mmcv's, mmseg's and this package's common step have one name; others read in their own way
    if type(loader).__name__ != LoadAnnotations.__name__ or loader.imdecode_backend != 'pillow':
        return _counts_by_loader(info, loader)
    image = _open(_content(path, 'unreadable_label', reading.backend_args), 'unreadable_label')
    _decode(image, 'unreadable_label')
    ids = without_channel(np.asarray(image))
    if ids.ndim != 2:
        _refuse_color(ids, image.mode)
    if ids.dtype == bool:
        ids = ids.astype(np.uint8)
    if ids.dtype != np.uint8:
        low, high = ids.min(), ids.max()
        if low < 0 or high > 255 or not np.issubdtype(ids.dtype, np.integer):
            raise _SampleFault('wide_label',
                               f'values {low}..{high} (mode {image.mode}, {ids.dtype})')
        ids = ids.astype(np.uint8)
    reduce_zero = loader.reduce_zero_label
    if reduce_zero is None:  # the step leaves it to the dataset
        reduce_zero = info.get('reduce_zero_label', False)
    raw = count_ids(ids)
    mapped = np.zeros(256, np.int64)
    np.add.at(mapped, lookup_table(info.get('label_map'), reduce_zero), raw)
    return raw, mapped, image.size


def _refuse_color(ids: np.ndarray, mode: str) -> None:
    """Raise the fault of a label that has colors, or equal channels, instead of ids."""
    if ids.ndim == 3 and ids.shape[2] >= 3 and (ids[..., :1] == ids[..., 1:3]).all():
        raise _SampleFault('color_label',
                           f'{ids.shape[2]} equal channels (mode {mode}): save one of them')
    raise _SampleFault('color_label',
                       f'mode {mode}, shape {ids.shape}: colors must be converted to '
                       'class ids')


def _counts_by_loader(info: dict, loader: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Pixels per id (256,) before and after the dataset's mapping, and (width, height): what
    :func:`_label_counts` gives, for loaders that read in their own way.

    The loader runs as it is and once more without mapping. Ids are taken modulo 256.
    """
    unmapped = copy.copy(loader)  # the loader itself must not change
    unmapped.reduce_zero_label = False
    try:
        label = loader.transform(dict(info, seg_fields=[]))['gt_seg_map']
        raw = unmapped.transform(dict(info, seg_fields=[], label_map=None,
                                      reduce_zero_label=False))['gt_seg_map']
    except Exception as error:  # loaders of other packages fail in their own ways
        raise _SampleFault('unreadable_label', f'{type(error).__name__}: {error}') from error
    if label.ndim != 2:
        _refuse_color(label, 'color')
    return count_ids(raw.astype(np.uint8)), count_ids(label.astype(np.uint8)), label.shape[::-1]
