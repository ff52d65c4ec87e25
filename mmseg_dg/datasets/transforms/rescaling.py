"""Random sizes relative to the image's own."""
from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_dg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomRescale(BaseTransform):
    """Scale image and labels by a random factor of the image's own size, keeping its shape.

    mmcv's ``RandomResize`` needs one base size for all images; VOC's and COCO's have none.  The longer side is drawn
    uniformly among the whole numbers between ``ratio_range`` times its length, as semi-supervised code does
    (specification of UniMatch); the shorter one follows, rounded.

    Reads ``img`` (H, W, 3) and every array named in ``seg_fields`` (H, W), nearest; sets
    ``img_shape`` and ``scale_factor``.  Draws from numpy's global generator.

    Args:
        ratio_range: Smallest and largest factor.
        interpolation: Of the image, as mmcv names it (``'bilinear'``, ``'bicubic'``).

    Raises:
        ValueError: The factors are not positive and ascending.
    """

    def __init__(self, ratio_range: Sequence[float] = (0.5, 2.0), interpolation: str = 'bilinear') -> None:
        self.interpolation = interpolation
        self.ratio_range = tuple(float(ratio) for ratio in ratio_range)
        if len(self.ratio_range) != 2 or not 0 < self.ratio_range[0] <= self.ratio_range[1]:
            raise ValueError(f'RandomRescale: ratio_range is (smallest, largest) > 0, got {ratio_range}')

    def transform(self, results: dict) -> dict:
        """Resize."""
        height, width = results['img'].shape[:2]
        longer = max(height, width)
        low, high = (max(1, int(longer * ratio)) for ratio in self.ratio_range)
        factor = np.random.randint(low, high + 1) / longer
        size = max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5))
        return resized(results, size, self.interpolation)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(ratio_range={self.ratio_range}, interpolation={self.interpolation!r})'


def resized(results: dict, size: tuple[int, int], interpolation: str) -> dict:
    """Resize a sample in place: the image as asked, every label map to its nearest neighbour.

    Args:
        results: Sample with ``img`` (H, W, 3) and perhaps ``seg_fields``.
        size: (width, height) in pixels.
        interpolation: Of the image, as :func:`mmcv.imresize` names it.
    """
    height, width = results['img'].shape[:2]
    results['img'] = mmcv.imresize(results['img'], size, interpolation=interpolation, backend='cv2')
    for key in results.get('seg_fields', []):
        results[key] = mmcv.imresize(results[key], size, interpolation='nearest', backend='cv2')
    results['img_shape'] = results['img'].shape[:2]
    results['scale_factor'] = (size[0] / width, size[1] / height)
    return results
