"""Reading images: of any bit depth, by a stated rule, and never more of them than was asked for.

Shapes: H x W pixels.
"""
from typing import Any, Optional

import cv2
import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile

from mmseg_dg.registry import TRANSFORMS

from ..bit_depth import bits_used, check_bit_depth, to_uint8
from ..image_header import MAX_PIXELS, ImageHeader, read_header, size_problem

#: OpenCV's flags that keep 16 bits, by mmcv's ``color_type``.
_DEEP_FLAGS = {
    'color': cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    'grayscale': cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
    'unchanged': cv2.IMREAD_UNCHANGED,
    'color_ignore_orientation': cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
                                | cv2.IMREAD_IGNORE_ORIENTATION,
    'grayscale_ignore_orientation': cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
                                    | cv2.IMREAD_IGNORE_ORIENTATION,
}


@TRANSFORMS.register_module()
class LoadImageFromFile(MMCVLoadImageFromFile):
    """mmcv's image loader with the same result for 8-bit images, and rules for all others.

    In scope ``mmseg_dg`` a bare ``LoadImageFromFile`` is this one; ``mmcv.LoadImageFromFile`` is
    the stock one, which cuts 16-bit values off to their upper 8 bits.

    * **More than 8 bits**: scaled to 0..255 by ``bit_depth``, the number of bits the values use (12
      for a 12-bit camera whose files have 16); refused without it.
    * **Gray**: repeated over the three channels.
    * **Alpha**: not used; transparent pixels show the color they are saved with.
    * **More channels** than color and alpha: refused, unless ``color_type='unchanged'`` asks for
      them.

    Needs ``img_path``; adds ``img`` uint8 (H, W, 3) in BGR order, ``img_shape`` and ``ori_shape``.

    Args:
        bit_depth: Bits that images of more than 8 bits use, 8..16; None: such images are refused.
            Images of 8 bits are not touched by it.
        max_pixels: Images of more pixels are refused before they are decoded; None: no limit.
        **kwargs: Of :class:`mmcv.transforms.LoadImageFromFile`.

    Raises:
        ValueError: The image cannot be read, is too large, too deep for ``bit_depth``, or has
            channels that no network here takes; the message names the file and what to do.
    """
    def __init__(self, bit_depth: Optional[int] = None, max_pixels: Optional[int] = MAX_PIXELS,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bit_depth = check_bit_depth(bit_depth, type(self).__name__)
        if max_pixels is not None and max_pixels < 1:
            raise ValueError(f'{type(self).__name__}: max_pixels counts pixels of an image, got '
                             f'{max_pixels}')
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> Optional[dict]:
        """Read one image; None for one that is not there, with ``ignore_empty``."""
        path = results['img_path']
        try:
            if self.file_client_args is not None:  # the older way of naming a backend
                content = fileio.FileClient.infer_client(self.file_client_args, path).get(path)
            else:
                content = fileio.get(path, backend_args=self.backend_args)
        except Exception:
            if self.ignore_empty:
                return None
            raise
        image = self._decode(content, str(path))
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def fault(self, header: ImageHeader) -> tuple[str, str]:
        """Why an image with this header would be refused, known before it is decoded.

        Returns:
            (kind, reason): the heading under which ``tools/doctor.py`` lists such files
            (``'deep_image'``, ``'extra_channels'``, ``'large_image'``), and the text for people;
            two empty texts for an image that is taken.
        """
        text = f'it is a {header.text}'
        if header.floating or header.bits > 16:
            return 'deep_image', (f'{text}; whole numbers of at most 16 bits are read: convert it '
                                  'to 8 or 16 bits')
        if header.bits > 8 and self.bit_depth is None:
            return 'deep_image', (f'{text}; say how many of them the values use, bit_depth=16 (or '
                                  '12, 14, ...) of LoadImageFromFile, and they are scaled to '
                                  '0..255')
        if header.channels not in (1, 3) and self.color_type != 'unchanged':
            return 'extra_channels', (f'{text}: the networks here read 3 channels and the others '
                                      'would be dropped; save the three to be used')
        large = size_problem(header, self.max_pixels)
        return ('large_image', large) if large else ('', '')

    def problem(self, header: ImageHeader) -> str:
        """The reason of :meth:`fault`, '' for an image that is taken."""
        return self.fault(header)[1]

    def decode_deep(self, content: bytes) -> Optional[np.ndarray]:
        """An image of more than 8 bits as it is in the file, unscaled, uint16 (H, W, 3) or, with a
        gray ``color_type``, (H, W); None if it cannot be read. The doctor looks for its largest
        value.
        """
        return mmcv.imfrombytes(content, flag=_DEEP_FLAGS[self.color_type], backend='cv2')

    def _decode(self, content: bytes, path: str) -> np.ndarray:
        """The image of a file's content, uint8 (H, W, 3), or as ``color_type`` asks.

        Refuses (ValueError, naming ``path``) what :meth:`fault` names, what cannot be decoded, and
        what the decoder would cut down to 8 bits.
        """
        try:
            header: Optional[ImageHeader] = read_header(bytes(content))
        except OSError:
            header = None  # a format that only the decoder knows
        problem = self.problem(header) if header is not None else ''
        if problem:
            raise ValueError(f'{path}: {problem}')
        bits = 8 if header is None else header.bits  # of an unknown format: as mmcv decodes it
        deep = bits > 8
        if deep and self.imdecode_backend == 'pillow':
            raise ValueError(f"{path}: imdecode_backend='pillow' cuts {bits}-bit images off "
                             "at 255; use 'cv2'")
        try:
            image = mmcv.imfrombytes(content,
                                     flag=_DEEP_FLAGS[self.color_type] if deep else self.color_type,
                                     backend=self.imdecode_backend)
        # what the decoding backends of mmcv raise for damaged files
        except (OSError, SyntaxError, ValueError, AttributeError, cv2.error) as error:
            raise ValueError(f'{path}: cannot be read as an image; the file may be cut off '
                             f'({error})') from error
        if image is None:
            raise ValueError(f'{path}: cannot be read as an image; the file may be empty, cut off '
                             'or no image')
        return self._scaled(image, path)

    def _scaled(self, image: np.ndarray, path: str) -> np.ndarray:
        """The decoded image as uint8: one of 16 bits is scaled by ``bit_depth``; ValueError where
        that is not set, or for other types.
        """
        if image.dtype == np.uint8:
            return image
        if image.dtype != np.uint16:
            raise ValueError(f'{path}: pixels of type {image.dtype}; convert the image to 8 or 16 '
                             'bits')
        if self.bit_depth is None:  # only where the header was not understood: see fault
            largest = int(image.max(initial=0))
            raise ValueError(f'{path}: an image of 16 bits (largest value {largest}, which '
                             f'{bits_used(largest)} bits hold); set bit_depth of LoadImageFromFile')
        return to_uint8(image, self.bit_depth, path)

    def __repr__(self) -> str:
        # [:-1]: the arguments go before the closing bracket of mmcv's text
        return super().__repr__(
        )[:-1] + f', bit_depth={self.bit_depth}, max_pixels={self.max_pixels})'
