"""What :class:`~mmseg_dg.models.losses.pixel_alignment.PixelAlignment` hands from part to part.

Shapes: B images, D channels, h x w places of a smaller map.
"""
from typing import NamedTuple, Optional

from torch import Tensor

from mmseg_dg.ops.pixel_alignment import ClassSums, Prototypes


class Partition(NamedTuple):
    """One resolution of one pass on its own grid.

    Attributes:
        features: (B, D, h, w), not normalized, with a graph.
        labels: (B, h, w).
        weight: (B, h, w) or None.
        entropy: (B, h, w) in nats.
        joint, drift: bool (B, h, w), reliable and unreliable pixels.
        num_classes: C.
    """
    features: Tensor
    labels: Tensor
    weight: Optional[Tensor]
    entropy: Tensor
    joint: Tensor
    drift: Tensor
    num_classes: int


class Ahead(NamedTuple):
    """What the pixels of a later pass add to the prototypes and to the mean, from a forward pass
    without gradients.

    Attributes:
        sums: Per set of images and resolution.
        labels, drift: Likewise, (B, h, w) int64 and bool.
    """
    sums: list[list[ClassSums]]
    labels: list[list[Tensor]]
    drift: list[list[Tensor]]


class Settled(NamedTuple):
    """What ``pair='recompute'`` decides in the first pass and the second one keeps to.

    Attributes:
        chosen: The prototypes of both passes.
        groups: The group of each image of the second pass, per set of images.
        drift: Its drift pixels, per set of images and resolution.
        mean: Number of aligned pixels of both passes, by which both divide.
        log: Numbers of both passes for the log.
    """
    chosen: Prototypes
    groups: list[list[int]]
    drift: list[list[Tensor]]
    mean: Tensor
    log: dict[str, Tensor]
