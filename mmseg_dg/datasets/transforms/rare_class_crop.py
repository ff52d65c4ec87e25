"""Random crops that look for rare classes in the label already in memory.

Shapes: H x W pixels.
"""
from typing import NamedTuple, Optional, Union

import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_dg.registry import TRANSFORMS

from ..label_tables import count_ids


class ArrayBox(NamedTuple):
    """Rows y1..y2 and columns x1..x2 of an image, ends excluded."""
    y1: int
    y2: int
    x1: int
    x2: int

    def cut(self, array: np.ndarray) -> np.ndarray:
        """A view of the box; further axes are kept."""
        return array[self.y1:self.y2, self.x1:self.x2]


@TRANSFORMS.register_module()
class RareClassCrop(BaseTransform):
    """Random crop with the official DAFormer acceptance rules, without ever reading a file again.

    One attempt draws a box (row, then column offset, each uniform) and redraws it up to 10 times
    until the label inside has at least two classes and none covers ``cat_max_ratio`` of the
    non-ignored pixels; the last box is taken as it is. An attempt is accepted when the label in the
    box has more than ``min_crop_pixels`` pixels of the wanted class; otherwise up to ``max_tries``
    further attempts follow, and the last of them is taken unchecked.

    The official code re-reads, resizes, crops and flips the same image for each further attempt.
    The boxes have the same distribution there, and the flip changes no counts.

    Draws from numpy's global generator, which :class:`SeededDataset` seeds per sample. Reads
    ``img`` (H, W, 3), every array named in ``seg_fields`` (H, W), ``wanted_class`` if present;
    without ``gt_seg_map`` (unlabeled stream) the first box is taken.

    Args:
        crop_size: Height and width, or one number for both, in pixels.
        cat_max_ratio: See above; 1 or more switches this check off.
        min_crop_pixels: Pixels of the wanted class in the crop (of the resized label); None: no
            such check.
        max_tries: Further attempts.
        ignore_index: Label that is no class.

    Raises:
        ValueError: The image is smaller than the crop (message has file and sizes), or a bad
            argument.
    """
    _redraws = 10  # further boxes of one attempt, as in the official code

    def __init__(self, crop_size: Union[int, tuple[int, int]], cat_max_ratio: float = 0.75,
                 min_crop_pixels: Optional[int] = None, max_tries: int = 10,
                 ignore_index: int = 255) -> None:
        self.crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        if len(self.crop_size) != 2 or min(self.crop_size) <= 0:
            raise ValueError('RareClassCrop: crop_size must be a positive number or (height, '
                             f'width), got {crop_size}')
        if cat_max_ratio <= 0:
            raise ValueError(f'RareClassCrop: cat_max_ratio must be > 0, got {cat_max_ratio}')
        # "more than min_crop_pixels", so even a crop full of the class must exceed it
        if min_crop_pixels is not None and min_crop_pixels >= self.crop_size[0] * self.crop_size[1]:
            raise ValueError(f'RareClassCrop: no crop of {self.crop_size} can have more than '
                             f'min_crop_pixels={min_crop_pixels} pixels of a class')
        self.cat_max_ratio = cat_max_ratio
        self.min_crop_pixels = min_crop_pixels
        self.max_tries = max_tries
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Cut ``img`` and every array of ``seg_fields`` to the chosen box; updates ``img_shape``.
        """
        shape = results['img'].shape[:2]
        if shape[0] < self.crop_size[0] or shape[1] < self.crop_size[1]:
            raise ValueError(f'{results.get("img_path", "image")}: {shape[0]}x{shape[1]} (height x '
                             'width, after resizing) is smaller than the crop '
                             f'{self.crop_size[0]}x{self.crop_size[1]}; make the Resize scale '
                             'larger or crop_size smaller')
        box = self.choose_box(shape, results.get('gt_seg_map'), results.get('wanted_class'))
        results['img'] = box.cut(results['img'])
        for key in results.get('seg_fields', []):
            results[key] = box.cut(results[key])
        results['img_shape'] = results['img'].shape[:2]
        return results

    def choose_box(self, shape: tuple[int, int], label: Optional[np.ndarray],
                   wanted_class: Optional[int] = None) -> ArrayBox:
        """The box of the crop.

        Args:
            shape: (height, width) of the image.
            label: uint8 (H, W), or None: then any box will do.
            wanted_class: Class of which the crop should show more than ``min_crop_pixels`` pixels;
                after ``max_tries`` boxes that do not, the next one is taken unchecked.
        """
        if label is None:
            return self._random_box(shape)
        box = self._varied_box(shape, label)
        if wanted_class is None or self.min_crop_pixels is None:
            return box
        for _ in range(self.max_tries):
            if np.count_nonzero(box.cut(label) == wanted_class) > self.min_crop_pixels:
                break
            box = self._varied_box(shape, label)
        return box

    def _varied_box(self, shape: tuple[int, int], label: np.ndarray) -> ArrayBox:
        """A random box, drawn again (at most ``_redraws`` times) while the label in it has fewer
        than two classes or one class fills ``cat_max_ratio`` of its pixels or more.
        """
        box = self._random_box(shape)
        if self.cat_max_ratio >= 1:  # every crop is varied enough
            return box
        # as in the official code, the last box is not checked; ignored pixels do not count
        for _ in range(self._redraws):
            counts = count_ids(box.cut(label))  # pixels of each id, (256,)
            counts[self.ignore_index] = 0
            if np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < self.cat_max_ratio:
                break
            box = self._random_box(shape)
        return box

    def _random_box(self, shape: tuple[int, int]) -> ArrayBox:
        """A box of ``crop_size`` anywhere in an image of ``shape`` (height, width), uniform; row
        before column, the order in which the official code draws.
        """
        height, width = self.crop_size
        y = np.random.randint(0, shape[0] - height + 1)
        x = np.random.randint(0, shape[1] - width + 1)
        return ArrayBox(int(y), int(y) + height, int(x), int(x) + width)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, '
                f'cat_max_ratio={self.cat_max_ratio}, min_crop_pixels={self.min_crop_pixels}, '
                f'max_tries={self.max_tries})')
