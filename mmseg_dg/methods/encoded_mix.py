"""The class mix of cached features.

Shapes: B images, H x W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_dg.ops import EncodedImages, class_mask, mix, mix_encoded

#: In the label of a mixed image that was encoded before training: the pixel is the target's,
#: the teacher labels it.
FROM_TARGET = 254


def mix_encoded_batch(
    source: dict,
    target: dict,
    labels: Tensor,
    mix_classes: Sequence[Tensor],
    pseudo_label: Tensor,
    pseudo_weight: Tensor,
) -> tuple[EncodedImages, Tensor, Tensor, Tensor]:
    """Mixed pictures that were encoded before training, or maps of source and target mixed cell by
    cell.

    A picture encoded before was mixed with a source image of its own, whose labels it brings along;
    the drawn classes then do not matter.

    Args:
        source: Preprocessed stream with ``inputs``, encoded.
        target: Likewise; its samples have ``mixed_label`` uint8 (1, H, W) if ``inputs`` has the
            variant ``'mixed'``.
        labels: Of the source, int64 (B, H, W).
        mix_classes: Per image int64 (k,).
        pseudo_label: int64 (B, H, W).
        pseudo_weight: Float (B, H, W).

    Returns:
        As ``DACS.mix_batch``: images, labels, weights, masks (True where source).
    """
    mixed = target['inputs'].variants.get('mixed')
    if mixed is not None:
        labels = torch.stack([x.mixed_label.data.squeeze(0) for x in target['data_samples']]).long()
        masks = labels != FROM_TARGET  # True where a source image was pasted
    else:
        masks = torch.stack([class_mask(x, c) for x, c in zip(labels, mix_classes)])
        mixed = mix_encoded(masks, source['inputs'], target['inputs'])
    weight = mix(masks, torch.ones_like(pseudo_weight), pseudo_weight)
    return mixed, mix(masks, labels, pseudo_label), weight, masks
