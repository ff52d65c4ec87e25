"""Evaluation inside a frame of fixed size, in which prediction and label are compared.

Shapes: H x W pixels.
"""
from collections.abc import Mapping, Sequence
from typing import Optional, Union

from mmcv.transforms import BaseTransform

from mmseg_dg.ops.frame import center_crop_pad
from mmseg_dg.registry import TRANSFORMS

from .random_rescale import check_resizing, resized


@TRANSFORMS.register_module()
class ResizeToHeight(BaseTransform):
    """Scale image and labels so that they have a given height, keeping the ratio; the width is
    rounded down.

    Rounded down as in the protocol it belongs to (shachoi/RobustNet@8bcd90a,
    transforms/joint_transforms.py).

    Reads ``img`` (H, W, 3) and every array named in ``seg_fields`` (H, W; nearest); sets
    ``img_shape`` and ``scale_factor``. Unlike mmcv's ``Resize`` it looks at the height alone, so a
    tall image becomes no smaller than a wide one.

    Args:
        height: In pixels.
        interpolation: Of the image, as mmcv names it.
        backend: ``'cv2'``, or ``'pillow'``, which antialiases where it shrinks; see
            :func:`resized`.

    Raises:
        ValueError: ``height`` is not positive, or the backend has no such interpolation.
    """
    def __init__(self, height: int, interpolation: str = 'bilinear', backend: str = 'cv2') -> None:
        if height < 1:
            raise ValueError(f'ResizeToHeight: height must be at least 1, got {height}')
        check_resizing('ResizeToHeight', interpolation, backend)
        self.height, self.interpolation, self.backend = height, interpolation, backend

    def transform(self, results: dict) -> dict:
        """Resize image and labels to the height; adds ``scale_factor`` (width, height)."""
        height, width = results['img'].shape[:2]
        # divided first, as in the protocol's code: rounding before int() may decide one pixel
        size = max(1, int(width / height * self.height)), self.height
        return resized(results, size, self.interpolation, self.backend)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(height={self.height}, '
                f'interpolation={self.interpolation!r}, backend={self.backend!r})')


@TRANSFORMS.register_module()
class CenterCropPad(BaseTransform):
    """Cut or fill image and labels to a fixed size around their center, and make that the size of
    evaluation.

    mmseg resizes predictions back to ``ori_shape`` before they are scored. Here ``ori_shape``
    becomes the size of the frame: the score is taken in it, on labels that went through the same
    steps (so ``LoadAnnotations`` comes before). Where a difference is odd, the larger half is at
    the bottom and at the right.

    Args:
        size: Height and width, or one number for both, in pixels.
        pad_val: Fill values, ``dict(img=0, seg=255)``; ``seg`` is used for every array of
            ``seg_fields``.

    Raises:
        ValueError: Bad size, or unknown keys in ``pad_val``.
    """
    def __init__(self, size: Union[int, Sequence[int]],
                 pad_val: Optional[Mapping[str, int]] = None) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError('CenterCropPad: size is a positive number or (height, width), got '
                             f'{size}')
        self.pad_val = checked_pad_values(pad_val, 'CenterCropPad')

    def transform(self, results: dict) -> dict:
        """Cut and fill ``img`` and every array of ``seg_fields``; all three shapes of the sample
        become the frame's (height, width).
        """
        results['img'] = center_crop_pad(results['img'], self.size, self.pad_val['img'])
        for key in results.get('seg_fields', []):
            results[key] = center_crop_pad(results[key], self.size, self.pad_val['seg'])
        results['img_shape'] = results['pad_shape'] = results['ori_shape'] = self.size
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, pad_val={self.pad_val})'


def checked_pad_values(pad_val: Optional[Mapping[str, int]], owner: str) -> dict[str, int]:
    """What images and labels are padded with: ``dict(img=0, seg=255)``, with the given values in
    their place; ``owner`` is named in the message.

    Raises:
        ValueError: Other keys than ``img`` and ``seg``.
    """
    unknown = sorted(set(pad_val or {}) - {'img', 'seg'})
    if unknown:
        raise ValueError(f'{owner}: pad_val has the keys img and seg, got {unknown}')
    return {'img': 0, 'seg': 255, **(pad_val or {})}
