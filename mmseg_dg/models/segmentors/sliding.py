"""Sliding-window inference that adds up probabilities.

Shapes: B images, K classes, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Mapping
from typing import Callable, Optional

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor

from mmseg_dg.ops import CropBox, cut_box, sliding_boxes
from mmseg_dg.ops.pairs import pair
from mmseg_dg.registry import MODELS

from .network import TrainableSegmentor

SUMS = ('logits', 'softmax')


def average_windows(images: Tensor, test_cfg: Mapping, channels: int,
                    predict: Callable[[Tensor, CropBox], Tensor]) -> Tensor:
    """Predictions of overlapping windows, averaged.

    Args:
        images: (B, 3, H, W).
        test_cfg: ``crop_size`` (h, w), ``stride`` (rows, columns), and ``window_sum``: ``'logits'``
            (default) or ``'softmax'``.
        channels: K.
        predict: Logits (B, K, h, w) of a window (B, 3, h, w) and its box.

    Returns:
        Logits (B, K, H, W), at least float32; log of the averaged probabilities with ``'softmax'``.

    Raises:
        ValueError: Unknown ``window_sum``, or a stride that leaves gaps.
    """
    mode = test_cfg.get('window_sum', 'logits')
    if mode not in SUMS:
        raise ValueError(f'test_cfg.window_sum must be one of {SUMS}, got {mode!r}')
    size = pair(images.shape[-2:])
    total = torch.zeros(len(images), channels, *size, device=images.device,
                        dtype=torch.promote_types(images.dtype, torch.float32))
    count = total.new_zeros(1, 1, *size)  # windows that cover each pixel
    for box in sliding_boxes(size, pair(test_cfg['crop_size']), pair(test_cfg['stride'])):
        logits = predict(cut_box(images, box), box)
        cut_box(total, box).add_(logits if mode == 'logits' else logits.softmax(dim=1))
        cut_box(count, box).add_(1)
    total.div_(count)
    # a probability may have become 0, which has no logarithm
    return total if mode == 'logits' else total.clamp_(min=torch.finfo(total.dtype).tiny).log_()


@MODELS.register_module()
class SlidingEncoderDecoder(TrainableSegmentor, EncoderDecoder):
    """``EncoderDecoder`` whose overlapping windows may be averaged as probabilities.

    ``test_cfg.window_sum='softmax'`` is how UniMatch and DiffMatch's baselines predict Cityscapes
    (docs/behavior/unimatch.md#unimatch-evaluation); ``'logits'`` (default) is mmseg's way. The last
    window of each axis is moved back to end at the border, as in mmseg; UniMatch cuts it off
    instead, so that its border windows are smaller (446 x 490 pixels in the corner of 2048 x 1024
    with windows of 801 every 534).

    The arguments are those of mmseg's ``EncoderDecoder``; training and checkpoints are the same.
    """
    def slide_inference(self, inputs: Tensor, batch_img_metas: Optional[list] = None) -> Tensor:
        """Logits (B, K, H, W), see :func:`average_windows`."""
        return average_windows(inputs, self.test_cfg, self.out_channels,
                               lambda window, _: self.predict_logits(window))
