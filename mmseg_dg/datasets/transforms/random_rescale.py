"""Random sizes relative to the image's own.

Shapes: H x W pixels.
"""
from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_dg.registry import TRANSFORMS

#: What :func:`mmcv.imresize` offers.
_INTERPOLATIONS = dict(cv2=('nearest', 'bilinear', 'bicubic', 'area', 'lanczos'),
                       pillow=('nearest', 'bilinear', 'bicubic', 'box', 'hamming', 'lanczos'))


@TRANSFORMS.register_module()
class RandomRescale(BaseTransform):
    """Scale image and labels by a random factor of the image's own size, keeping its shape.

    mmcv's ``RandomResize`` needs one base size for all images; VOC's and COCO's have none. The
    longer side is drawn uniformly among the whole numbers between ``ratio_range`` times its length,
    as semi-supervised code does (docs/behavior/unimatch.md#unimatch-data-pipeline); the shorter one
    follows, rounded.

    Reads ``img`` (H, W, 3) and every array named in ``seg_fields`` (H, W), nearest; sets
    ``img_shape`` and ``scale_factor``.  Draws from numpy's global generator.

    Args:
        ratio_range: Smallest and largest factor.
        interpolation: Of the image, as mmcv names it (``'bilinear'``, ``'bicubic'``).
        backend: ``'cv2'``, or ``'pillow'``, which antialiases where it shrinks; see
            :func:`resized`.

    Raises:
        ValueError: The factors are not positive and ascending, or the backend has no such
            interpolation.
    """
    def __init__(self, ratio_range: Sequence[float] = (0.5, 2.0), interpolation: str = 'bilinear',
                 backend: str = 'cv2') -> None:
        check_resizing('RandomRescale', interpolation, backend)
        self.interpolation, self.backend = interpolation, backend
        self.ratio_range = tuple(float(ratio) for ratio in ratio_range)
        if len(self.ratio_range) != 2 or not 0 < self.ratio_range[0] <= self.ratio_range[1]:
            raise ValueError('RandomRescale: ratio_range is (smallest, largest) > 0, got '
                             f'{ratio_range}')

    def transform(self, results: dict) -> dict:
        """Resize image and labels by a drawn factor; adds ``scale_factor`` (width, height)."""
        height, width = results['img'].shape[:2]
        longer = max(height, width)
        # the new length of the longer side is drawn, in whole pixels, and gives the factor
        low, high = (max(1, int(longer * ratio)) for ratio in self.ratio_range)
        factor = np.random.randint(low, high + 1) / longer
        # (width, height), rounded
        size = max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5))
        return resized(results, size, self.interpolation, self.backend)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(ratio_range={self.ratio_range}, '
                f'interpolation={self.interpolation!r}, backend={self.backend!r})')


def check_resizing(owner: str, interpolation: str, backend: str) -> None:
    """Refuse what :func:`resized` cannot do.

    Args:
        owner: Name of the transform, for the message.
        interpolation: As :func:`mmcv.imresize` names it.
        backend: ``'cv2'`` or ``'pillow'``.

    Raises:
        ValueError: Another backend, or one without this interpolation.
    """
    if backend not in _INTERPOLATIONS:
        raise ValueError(f"{owner}: backend is 'cv2' or 'pillow', got {backend!r}")
    if interpolation not in _INTERPOLATIONS[backend]:
        raise ValueError(f'{owner}: backend {backend!r} has the interpolations '
                         f'{", ".join(_INTERPOLATIONS[backend])}, got {interpolation!r}')


def resized(results: dict, size: tuple[int, int], interpolation: str, backend: str = 'cv2') -> dict:
    """Resize a sample in place: the image as asked, every label map to its nearest neighbor.

    The backends differ where an image shrinks. OpenCV reads the 2 or 4 nearest pixels per axis at
    any scale, so fine structure aliases; Pillow widens its kernel by the factor, which blurs first.
    Published code that reads images with PIL or torchvision resizes in the second way. They also
    place nearest neighbors differently: Pillow takes the pixel under the center of the new one, as
    images are resized; OpenCV the one under its upper left corner.

    Args:
        results: Sample with ``img`` (H, W, 3) and perhaps ``seg_fields``; uint8 for ``'pillow'``.
        size: (width, height) in pixels.
        interpolation: Of the image, as :func:`mmcv.imresize` names it.
        backend: ``'cv2'`` or ``'pillow'``; of the label maps as well.

    Returns:
        ``results`` itself, with ``img_shape`` (height, width) and ``scale_factor`` (of width, of
        height) set.

    Raises:
        ValueError: ``'pillow'`` and an array that is not uint8.
    """
    height, width = results['img'].shape[:2]
    for key in ('img', *results.get('seg_fields', [])):
        if backend == 'pillow' and results[key].dtype != np.uint8:
            raise ValueError(f"{results.get('img_path', 'image')}: backend='pillow' resizes uint8 "
                             f"arrays, {key!r} is {results[key].dtype}; load it without "
                             "to_float32, or resize with backend='cv2'")
        how = interpolation if key == 'img' else 'nearest'
        results[key] = mmcv.imresize(results[key], size, interpolation=how, backend=backend)
    results['img_shape'] = results['img'].shape[:2]
    results['scale_factor'] = (size[0] / width, size[1] / height)
    return results
