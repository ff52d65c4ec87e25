"""Images of any number of channels: TIFF stacks of multispectral cameras and satellites.

Shapes: C channels, H x W pixels.
"""
import io
from collections.abc import Sequence
from typing import Any, Optional

import cv2
import numpy as np

from mmseg_dg.registry import TRANSFORMS

from ..bit_depth import to_uint8
from ..image_header import ImageHeader, read_header, size_problem
from .load_image import LoadImageFromFile

#: How TIFF and BigTIFF files begin, in both orders of bytes.
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


@TRANSFORMS.register_module()
class LoadImageStack(LoadImageFromFile):
    """Reads images of a stated number of channels, in the order of the file.

    TIFF: channels beside each other, in planes, or as pages, any count (read with tifffile:
    ``pip install tifffile``); PNG and others of one to four channels. Values: 8 bits as they are;
    16 bits by ``bit_depth``; numbers with a point by ``value_range``; both scaled to 0..255,
    rounded to 8 bits unless ``to_float32=True`` keeps them.

    The network needs ``in_channels``, the preprocessor one mean and standard deviation per channel
    and ``bgr_to_rgb=False``. ``ColorJitter`` and the jitters of the methods change the first three
    channels, which must be red, green and blue then; mmseg's ``PhotoMetricDistortion`` takes three
    channels only.

    Args:
        channels: Of every image.
        bit_depth: Bits that images of 16 bits use, 8..16.
        value_range: (lowest, highest) of numbers with a point; values beyond are cut off.
        kwargs: Further arguments of :class:`LoadImageFromFile`.

    Raises:
        ImportError: A TIFF file, and tifffile is not installed.
        ValueError: Another number of channels, values without a rule, missing values (NaN), or an
            unreadable file; the message names the file and what to do.
    """
    def __init__(self, channels: int, bit_depth: Optional[int] = None,
                 value_range: Optional[Sequence[float]] = None, **kwargs: Any) -> None:
        super().__init__(bit_depth=bit_depth, color_type='unchanged', **kwargs)
        if channels < 1:
            raise ValueError(f'LoadImageStack: channels={channels} must be positive')
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError(
                f'LoadImageStack: value_range={tuple(value_range)} is (lowest, highest)')
        self.channels, self.value_range = channels, value_range

    def fault(self, header: ImageHeader) -> tuple[str, str]:
        """Why an image with this header would be refused; pages of a TIFF file are counted when it
        is read.

        Returns:
            (kind, reason) as :meth:`LoadImageFromFile.fault`; two empty texts for an image that is
            taken.
        """
        large = size_problem(header, self.max_pixels)
        if large:
            return 'large_image', large
        text = f'it is a {header.text}'
        if header.floating and self.value_range is None:
            return 'deep_image', (
                f'{text}; say what range they have, value_range=(lowest, highest) of '
                'LoadImageStack, and they are scaled to 0..255')
        if not header.floating and 8 < header.bits <= 16 and self.bit_depth is None:
            return 'deep_image', (
                f'{text}; say how many of them the values use, bit_depth=16 (or 12, 14, ...) of '
                'LoadImageStack, and they are scaled to 0..255')
        # of a TIFF the header is that of the first page alone
        if header.format != 'TIFF' and header.channels + header.alpha != self.channels:
            return 'extra_channels', f'{text}, but LoadImageStack has channels={self.channels}'
        return '', ''

    def decode_deep(self, content: bytes) -> Optional[np.ndarray]:
        """A stack as it is in the file, unscaled, (H, W, C); None if it cannot be read. The doctor
        looks for its largest value.
        """
        try:
            return self._read(bytes(content), 'image')
        except ValueError:
            return None

    def _decode(self, content: bytes, path: str) -> np.ndarray:
        """The stack of a file's content, (H, W, C) with values in 0..255: uint8, or float32 with
        ``to_float32``; refuses (ValueError) what :meth:`fault` names and what cannot be read.
        """
        content = bytes(content)
        try:
            problem = self.problem(read_header(content))
        except OSError:
            problem = ''  # the decoder will say it
        if problem:
            raise ValueError(f'{path}: {problem}')
        return self._checked(self._read(content, path), path)

    def from_array(self, image: Any, name: str) -> dict:
        """What :meth:`transform` gives, for an image that is in memory already (inference).

        Args:
            image: Array (H, W, C), or (H, W) for one channel, with channels and values as in files.
            name: Of the image, for messages.
        """
        image = self._checked(np.atleast_3d(np.asarray(image)), name)
        if self.to_float32:
            image = image.astype(np.float32)
        size = image.shape[:2]
        return dict(img=image, img_path=None, img_shape=size, ori_shape=size)

    def _checked(self, image: np.ndarray, path: str) -> np.ndarray:
        """An image (H, W, C) with its values brought to 0..255; refuses (ValueError, naming
        ``path``) another number of channels and more than ``max_pixels``.
        """
        if image.shape[2] != self.channels:
            raise ValueError(
                f'{path}: {image.shape[2]} channels, but LoadImageStack has '
                f'channels={self.channels}: correct channels (and in_channels of the encoder), or '
                'leave the file out')
        if self.max_pixels is not None and image.shape[0] * image.shape[1] > self.max_pixels:
            raise ValueError(
                f'{path}: {image.shape[1]}x{image.shape[0]} (width x height), more than '
                f'max_pixels={self.max_pixels}; cut it into tiles')
        return np.ascontiguousarray(self._in_range(image, path))

    def _read(self, content: bytes, path: str) -> np.ndarray:
        """The image of a file's content, (H, W, C) with channels in the order of the file; values
        as they are stored.
        """
        if content[:4] in _TIFF:
            return self._read_tiff(content, path)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError(
                f'{path}: cannot be read as an image; the file may be empty, cut off or no image')
        image = np.atleast_3d(image)
        if image.shape[2] >= 3:  # OpenCV's blue, green, red
            image = image[..., [2, 1, 0, *range(3, image.shape[2])]]
        return image

    def _read_tiff(self, content: bytes, path: str) -> np.ndarray:
        """The first series of a TIFF file (tifffile: pages of one shape and type form a series) as
        (H, W, C), whatever the order of its axes.
        """
        try:
            import tifffile
        except ImportError as error:
            raise ImportError(
                f'{path}: TIFF stacks are read with tifffile: pip install tifffile') from error
        try:
            with tifffile.TiffFile(io.BytesIO(content)) as file:
                series = file.series[0]
                axes, image = series.axes, series.asarray()
        except Exception as error:  # noqa: BLE001  damaged files raise whatever their bytes lead to
            raise ValueError(
                f'{path}: cannot be read as a TIFF stack ({type(error).__name__}: {error}); a '
                'compression that tifffile lacks needs pip install imagecodecs') from error
        # a letter per axis: Y rows, X columns, any other one channels (samples, pages, ...)
        keep = [i for i, axis in enumerate(axes) if axis in 'YX' or image.shape[i] > 1]
        # without axes of length 1: (H, W, C) or (H, W) in any order
        image = image.reshape([image.shape[i] for i in keep])
        axes = ''.join(axes[i] for i in keep)
        others = [axis for axis in axes if axis not in 'YX']
        if 'Y' not in axes or 'X' not in axes or len(others) > 1:
            raise ValueError(
                f'{path}: a TIFF of axes {axes} and shape {image.shape}: expected height, width '
                'and at most one axis of channels')
        order = [axes.index('Y'), axes.index('X'), *(axes.index(axis) for axis in others)]
        return np.atleast_3d(image.transpose(order))  # (H, W, C)

    def _in_range(self, image: np.ndarray, path: str) -> np.ndarray:
        """Bring values to 0..255, uint8 or (``to_float32``) float32: numbers with a point by
        ``value_range``, whole ones by ``bit_depth``; ValueError where that is not set.
        """
        if image.dtype == np.uint8:
            return image
        if image.dtype.kind == 'f':
            if self.value_range is None or not np.isfinite(image).all():
                what = 'missing values (NaN or infinite)' if self.value_range is not None else \
                    f'numbers with a point ({np.nanmin(image):g} to {np.nanmax(image):g})'
                raise ValueError(
                    f'{path}: {what}; set value_range=(lowest, highest) of LoadImageStack, and '
                    'fill or leave out what is missing')
            low, high = self.value_range
            scaled = (image.astype(np.float64) - low).clip(0, high - low) * (255 / (high - low))
        elif image.dtype == np.uint16 and self.bit_depth is not None:
            rounded = to_uint8(image, self.bit_depth, path)  # also refuses larger values
            if not self.to_float32:
                return rounded
            # with a point: the fractions that 8 bits would round away are kept
            scaled = image * (255 / (2**self.bit_depth - 1))
        else:
            raise ValueError(
                f'{path}: values of type {image.dtype}, up to {image.max()}; 16 bits need '
                'bit_depth of LoadImageStack, other types must be converted to 8 or 16 bits '
                'without sign')
        if self.to_float32:
            return scaled.astype(np.float32)
        return np.floor(scaled + 0.5).astype(np.uint8)  # rounded, halves up

    def __repr__(self) -> str:
        # [:-1]: the further arguments go before the closing bracket
        return (f'{super().__repr__()[:-1]}, channels={self.channels}, '
                f'value_range={self.value_range})')
