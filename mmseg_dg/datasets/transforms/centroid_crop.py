"""Random crops, padded where the image is small, that hold a wanted point if there is one.

Shapes: H x W pixels.
"""
from collections.abc import Mapping, Sequence
from typing import Optional, Union

import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_dg.ops.frame import pad_centered
from mmseg_dg.ops.pairs import pair
from mmseg_dg.registry import TRANSFORMS

from .evaluation_frame import checked_pad_values
from .rare_class_crop import ArrayBox


@TRANSFORMS.register_module()
class CentroidCrop(BaseTransform):
    """A random crop; with ``wanted_point`` in the sample (:class:`ClassUniformSampler`) one that
    holds this point.

    What is smaller than the crop is filled on all sides. Where no point is wanted, the position is
    uniform among all crops inside the image. Where one is, ``place`` says, for rows and columns
    alike, of crops of t pixels in ``side`` and a point at c:

    - ``'uniform'`` (ours): uniform among all crops inside the image that hold the point.
    - ``'clamped'``: the start is uniform in [c - t, c], both included, and then moved into [0, side
      - t]. Points near a border are more often near that border of the crop; a start of c - t
      leaves the point just outside. Source: shachoi/RobustNet@8bcd90a,
      transforms/joint_transforms.py, which DeFT's released scripts follow.

    The point is (row, column) in the label as loaded; ``scale_factor`` of the resizing in between
    moves it, so this transform comes after ``RandomRescale`` or ``Resize`` and before
    ``RandomFlip``.

    Draws from numpy's global generator, which :class:`SeededDataset` seeds per sample. Reads
    ``img`` (H, W, 3) and every array named in ``seg_fields`` (H, W); sets ``img_shape``.

    Args:
        crop_size: Height and width, or one number for both, in pixels.
        pad_val: Fill values, ``dict(img=0, seg=255)``.
        place: ``'uniform'`` or ``'clamped'``, see above.

    Raises:
        ValueError: A bad argument, or the image was flipped before.
    """
    def __init__(self, crop_size: Union[int, Sequence[int]],
                 pad_val: Optional[Mapping[str, int]] = None, place: str = 'uniform') -> None:
        if place not in ('uniform', 'clamped'):
            raise ValueError(f"CentroidCrop: place is 'uniform' or 'clamped', got {place!r}")
        self.place = place
        self.crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        if len(self.crop_size) != 2 or min(self.crop_size) <= 0:
            raise ValueError('CentroidCrop: crop_size must be a positive number or (height, '
                             f'width), got {crop_size}')
        self.pad_val = checked_pad_values(pad_val, 'CentroidCrop')

    def transform(self, results: dict) -> dict:
        """Fill ``img`` and every array of ``seg_fields`` to at least the crop and cut all to one
        drawn box.
        """
        shape = results['img'].shape[:2]
        box = self.choose_box(shape, self._point(results, shape))
        for key in ('img', *results.get('seg_fields', [])):
            fill = self.pad_val['img' if key == 'img' else 'seg']
            padded = pad_centered(results[key], self.crop_size, fill)
            results[key] = np.ascontiguousarray(box.cut(padded))
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _point(self, results: dict, shape: tuple[int, int]) -> Optional[tuple[int, int]]:
        """The wanted point (row, column) in the resized image of ``shape`` (height, width), before
        that is padded to the crop; None where the sample wants none.

        Reads ``wanted_point`` (row, column in the label as loaded, set by :class:`SeededDataset`),
        ``scale_factor`` and ``flip`` of the sample.
        """
        point = results.get('wanted_point')
        if point is None:
            return None
        if results.get('flip'):
            raise ValueError('CentroidCrop: the image is flipped already and the wanted point is '
                             'not; put RandomFlip after the crop')
        x_factor, y_factor = results.get('scale_factor', (1.0, 1.0))
        # - 1: a point on the edge must not be scaled to a row or column behind the last one
        return pair(
            min(int(place * factor), side - 1)
            for place, factor, side in zip(point, (y_factor, x_factor), shape))

    def choose_box(self, shape: tuple[int, int], point: Optional[tuple[int,
                                                                       int]] = None) -> ArrayBox:
        """The box for an image of ``shape`` (height, width) and, if wanted, a ``point`` (row,
        column) in it; the box is counted in the filled image.
        """
        y, x = (self._start(have, want, None if point is None else point[axis])
                for axis, (have, want) in enumerate(zip(shape, self.crop_size)))
        return ArrayBox(y, y + self.crop_size[0], x, x + self.crop_size[1])

    def _start(self, have: int, want: int, point: Optional[int]) -> int:
        """First row or column of the crop along one axis.

        Args:
            have: Rows (columns) of the image.
            want: Of the crop; a smaller image is padded to it on both sides.
            point: The place along this axis that must be inside; None: anywhere.

        Returns:
            The first row (column), counted in the padded image. (``randint`` excludes its end, so
            ``+ 1`` includes the last start.)
        """
        last = max(0, have - want)  # the last start of a crop that lies inside the image
        if point is None:
            return int(np.random.randint(0, last + 1))
        place = point + max(0, want - have) // 2  # after padding
        if self.place == 'clamped':  # drawn around the point, then pushed into the image
            return min(last, max(0, int(np.random.randint(place - want, place + 1))))
        # 'uniform': all crops inside the image that hold the point are equally probable
        return int(np.random.randint(max(0, place - want + 1), min(last, place) + 1))

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, pad_val={self.pad_val}, '
                f'place={self.place!r})')
