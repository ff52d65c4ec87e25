"""Which pixels of an image a network is least sure of, painted over it (PiXL's drift pixels).

Shapes: C classes, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

import cv2
import numpy as np
import torch
from torch import Tensor

from mmseg_dg.ops.entropy import highest_pixels, pixel_entropy

from .tiles import Tile, colorize, heat

#: Color of drift pixels.
DRIFT_COLOR = (255, 32, 32)


class DriftCount(NamedTuple):
    """Pixels of one image at one scale, and how many the network labels wrong.

    Attributes:
        drift: Drift pixels (of highest entropy) with a label.
        drift_wrong: Of them, pixels that are predicted wrong.
        joint: Joint pixels (all others that count in training) with a label.
        joint_wrong: Of them, pixels that are predicted wrong.
    """
    drift: int
    drift_wrong: int
    joint: int
    joint_wrong: int

    @classmethod
    def total(cls, counts: Iterable['DriftCount']) -> 'DriftCount':
        """The sum of the counts of several images."""
        return cls(*map(sum, zip(*counts)))

    def __str__(self) -> str:
        """For a caption: the percentage of wrong pixels among drift and among joint pixels."""
        if not self.drift + self.joint:
            return 'no labels'
        drift_percent = 100 * self.drift_wrong / max(1, self.drift)
        joint_percent = 100 * self.joint_wrong / max(1, self.joint)
        return f'wrong: {drift_percent:.0f}% of drift, {joint_percent:.0f}% of joint'


def drift_tiles(picture: np.ndarray, logits: Tensor, labels: Tensor, inside: Tensor,
                etas: Sequence[float], palette: Sequence[Sequence[int]], name: str = '',
                label_map: Optional[Sequence[int]] = None) -> tuple[list[Tile], list[DriftCount]]:
    """Entropy of one image, and its drift pixels for each share eta.

    Drift pixels are those of highest entropy among the pixels of this image that count in training:
    the labeled ones where there are labels, else all that are not padding.

    Args:
        picture: uint8 (H, W, 3) RGB, what the drift pixels are painted on.
        logits: (C, h, w).
        labels: (h, w) int64, 255 ignored.
        inside: (h, w) bool, False for padding; the picture covers what is inside.
        etas: Shares of drift pixels in [0, 1].
        palette: RGB per class, for the prediction.
        name: Put before captions (the scale).
        label_map: Scored class of each class; a prediction of the same scored class as the label is
            right.

    Returns:
        Tiles (prediction, entropy, one per eta) and counts, one per eta.
    """
    # in nats, and as a share of the highest possible entropy (for the picture); (h, w) each
    entropy, share = (pixel_entropy(logits[None], normalized)[0] for normalized in (False, True))
    # the pixels that count in training
    valid = (labels != 255) & inside if bool((labels != 255).any()) else inside
    prediction = logits.argmax(dim=0)
    # padding lies below and at the right: the image's part of the maps
    rows, columns = int(inside.any(dim=1).sum()), int(inside.any(dim=0).sum())
    prefix = f'{name} ' if name else ''
    tiles = [
        Tile(f'{prefix}prediction', colorize(prediction[:rows, :columns], palette), nearest=True),
        Tile(f'{prefix}entropy', heat(share[:rows, :columns]), nearest=True)
    ]
    counts = []
    scored = torch.arange(256, device=labels.device)  # id -> scored class, itself without a map
    if label_map is not None:
        scored[:len(label_map)] = scored.new_tensor(list(label_map))
    wrong = (scored[prediction] != scored[labels]) & (labels != 255)
    for eta in etas:
        drift = highest_pixels(entropy[None], valid[None], eta)[0]
        joint = valid & ~drift
        judged = labels != 255
        counts.append(
            DriftCount(*(int(x.sum())
                         for x in (drift & judged, drift & wrong, joint & judged, joint & wrong))))
        painted = _paint(picture, drift[:rows, :columns].cpu().numpy())
        tiles.append(Tile(f'{prefix}drift {100 * eta:.3g}%: {counts[-1]}', painted))
    return tiles, counts


def _paint(picture: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) in gray with its drift pixels, bool (h, w), in one color."""
    gray = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    mask = cv2.resize(drift.astype(np.uint8), picture.shape[1::-1],
                      interpolation=cv2.INTER_NEAREST) > 0
    return np.where(mask[..., None], np.array(DRIFT_COLOR, np.uint8), gray)
