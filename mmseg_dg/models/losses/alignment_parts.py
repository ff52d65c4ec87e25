"""What :class:`~mmseg_dg.models.losses.pixel_alignment.PixelAlignment` hands from part to part.

Shapes: B images, D channels, h x w places of a smaller map.
"""
from typing import NamedTuple, Optional

from torch import Tensor

from mmseg_dg.ops.pixel_alignment import ClassSums, Prototypes


class Partition(NamedTuple):
    """The pixels of one resolution of one set of images, on its own grid.

    Attributes:
        features: (B, D, h, w), not normalized, with a graph.
        labels: (B, h, w) int64, the ignored label included.
        weight: (B, h, w) factor of each pixel's term, or None for 1.
        entropy: (B, h, w) of the prediction, in nats.
        joint: bool (B, h, w), reliable pixels, of which prototypes are made.
        drift: bool (B, h, w), unreliable pixels, which are drawn to prototypes.
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

    A pass has one or more sets of images (strong views of the same images form several); all
    attributes are indexed ``[set][resolution]``.

    Attributes:
        sums: Sums over joint pixels by image and class.
        labels: (B, h, w) int64.
        drift: bool (B, h, w), pixels that will be drawn to prototypes.
    """
    sums: list[list[ClassSums]]
    labels: list[list[Tensor]]
    drift: list[list[Tensor]]


class Settled(NamedTuple):
    """What ``pair='recompute'`` decides in the first pass and the second one keeps to.

    Attributes:
        chosen: The prototypes, made of both passes.
        groups: ``[set][image]`` of the second pass: the group whose prototypes the image takes.
        drift: ``[set][resolution]`` of the second pass: its drift pixels, bool (B, h, w).
        mean: Number of aligned pixels of both passes (0-d), by which both divide.
        log: Numbers of both passes for the log.
    """
    chosen: Prototypes
    groups: list[list[int]]
    drift: list[list[Tensor]]
    mean: Tensor
    log: dict[str, Tensor]
