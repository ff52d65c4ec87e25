"""From arrays to what the loop hands to a method.

Shapes: H x W pixels.
"""
from collections.abc import Sequence
from typing import Union

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs

from mmseg_dg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PseudoLabelMargins(BaseTransform):
    """Marks the part of a target image whose pseudo-labels count.

    Adds ``valid_pseudo_mask`` uint8 (H, W), 0 in the given bands and 1 elsewhere, and lists it in
    ``seg_fields``, so that later transforms resize (nearest), crop and flip it with the image.
    Place it before any of them: the bands are measured in the loaded image.

    Args:
        top: Height of the band in pixels, >= 0; likewise bottom, left, right. HRDA uses 30, 240,
            30, 30 at 1024x2048.
        bottom: See ``top``.
        left: See ``top``.
        right: See ``top``.
        of: Class name(s) of the datasets whose images have these margins. Training refuses them on
            another dataset, which a child config that replaces the data would inherit in silence.
            None: whatever the dataset.

    Raises:
        ValueError: A negative band, or bands that leave nothing of an image.
    """
    def __init__(self, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0,
                 of: Union[str, Sequence[str], None] = None) -> None:
        self.margins = (top, bottom, left, right)
        self.of = of
        if min(self.margins) < 0:
            raise ValueError(f'PseudoLabelMargins: margins must be >= 0, got {self.margins}')

    def transform(self, results: dict) -> dict:
        """Add the mask ``valid_pseudo_mask``, uint8 (H, W): 1 where pseudo-labels count, 0 on the
        margins; later steps treat it like a label.
        """
        height, width = results['img'].shape[:2]
        top, bottom, left, right = self.margins
        if top + bottom >= height or left + right >= width:
            raise ValueError(f'{results.get("img_path", "image")}: margins {self.margins} (top, '
                             f'bottom, left, right) leave nothing of {height}x{width} pixels; they '
                             'count pixels of the original image')
        mask = np.zeros((height, width), np.uint8)
        mask[top:height - bottom, left:width - right] = 1
        results['valid_pseudo_mask'] = mask
        results.setdefault('seg_fields', []).append('valid_pseudo_mask')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(top, bottom, left, right={self.margins})'


@TRANSFORMS.register_module()
class PackStreamInputs(PackSegInputs):
    """mmseg's ``PackSegInputs`` for labeled and unlabeled streams.

    Gives ``inputs`` uint8 (3, H, W) BGR and a ``SegDataSample`` with ``gt_sem_seg`` int64 (1, H, W)
    if the sample has a label and ``valid_pseudo_mask`` uint8 (1, H, W) if
    :class:`PseudoLabelMargins` made one.

    Args:
        meta_keys: What is copied into the sample's metainfo when present.
    """
    def __init__(
        self, meta_keys: Sequence[str] = ('img_path', 'seg_map_path', 'ori_shape', 'img_shape',
                                          'pad_shape', 'scale_factor', 'flip', 'flip_direction',
                                          'reduce_zero_label', 'wanted_class')
    ) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """Pack one sample into ``dict(inputs=..., data_samples=...)``; mmseg packs image and label,
        the mask of :class:`PseudoLabelMargins` is added here.
        """
        packed = super().transform(results)
        if 'valid_pseudo_mask' in results:
            # flips leave negative strides, which torch does not take; (H, W) -> (1, H, W)
            mask = torch.from_numpy(np.ascontiguousarray(results['valid_pseudo_mask']))[None]
            packed['data_samples'].set_data(dict(valid_pseudo_mask=PixelData(data=mask)))
        return packed
