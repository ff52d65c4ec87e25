"""Maps at another size.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def resize(maps: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Resize maps bilinearly, without antialiasing.

    Args:
        maps: Floating point (B, C, h, w).
        size: Height H and width W of the result.
        align_corners: Whether the centers of the corner pixels stay where they are, or their outer
            corners.

    Returns:
        (B, C, H, W), of the same type; ``maps`` itself where it has the size.
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode='bilinear', align_corners=align_corners)
