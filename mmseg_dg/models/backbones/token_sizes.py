"""Image sizes for encoders that cut images into patches, and position embeddings for grids of any
size."""
import math
from collections.abc import Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

RESIZE = (None, 'multiple', 'scale')


def check_resize(resize: Optional[str], factor: float, owner: str) -> None:
    """
    Raises:
        ValueError: An unknown policy, or a factor that is not positive.
    """
    if resize not in RESIZE or factor <= 0:
        raise ValueError(
            f'{owner}: resize={resize!r}, scale_factor={factor}: use one of {RESIZE} and a '
            'positive factor')


def target_size(size: Sequence[int], patch: int, resize: Optional[str], factor: float,
                owner: str) -> tuple[int, int]:
    """The (height, width) in pixels that an image is brought to before it is cut into patches.

    Args:
        size: (height, width) of the image.
        patch: Side of a patch in pixels.
        resize: None: the image as it is, refused unless ``patch`` divides both sides.
            ``'multiple'``: the nearest multiple of ``patch``, halves up, at least one (UniMatch
            V2's evaluation). ``'scale'``: ``floor(factor * side / patch) * patch`` (VFM-UDA: 1024
            to 1120 with 1.1 and 14).
        factor: Of ``'scale'``.
        owner: Named in the message.

    Raises:
        ValueError: ``resize=None`` and a side that is no multiple, or an image smaller than a
            patch.

    Source: docs/behavior/foundation_encoders.md#sizes.
    """
    height, width = (int(side) for side in size)
    if resize == 'multiple':
        return tuple(max(int(side / patch + 0.5), 1) * patch for side in (height, width))
    if resize == 'scale':
        new = tuple(int(factor * side // patch) * patch for side in (height, width))
        if min(new) < patch:
            raise ValueError(
                f'{owner}: an image of {width}x{height} (width x height) times {factor} is smaller '
                f'than a patch of {patch} pixels')
        return new
    if height % patch or width % patch or min(height, width) < patch:
        near = [max(side // patch, 1) * patch for side in (width, height)]
        raise ValueError(
            f'{owner}: an image of {width}x{height} (width x height) cannot be cut into patches of '
            f'{patch} pixels: train on crops such as {near[0]}x{near[1]} and test in windows of '
            'that size, or set resize="multiple" (also "scale") of the encoder, or patch_size=16 '
            'where sides are multiples of 16')
    return height, width


def fit_size(images: Tensor, patch: int, resize: Optional[str], factor: float,
             owner: str) -> Tensor:
    """Bring images (B, C, H, W) to :func:`target_size`, bilinearly without antialiasing.

    Corners are aligned for ``'multiple'`` (UniMatch V2) and not for ``'scale'`` (VFM-UDA), as in
    the published codes.
    """
    size = target_size(images.shape[-2:], patch, resize, factor, owner)
    if size == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, size, mode='bilinear', align_corners=resize == 'multiple')


def interpolate_positions(positions: Tensor,
                          grid: tuple[int, int],
                          offset: float = 0.1,
                          antialias: bool = False) -> Tensor:
    """Learned positions of a square grid for another grid, bicubically.

    Args:
        positions: (1, N * N, D).
        grid: (rows, columns) wanted; the stored grid comes back as it is.
        offset: Added to rows and columns before they are divided by N: the factor of the
            interpolation is ``(rows + offset) / N``, and samples lie accordingly. DINOv2's first
            models were used with 0.1, those with registers with 0
            (facebookresearch/dinov2/dinov2/models/vision_transformer.py@027a9ac, ``hubconf.py``).
        antialias: Likewise: False, and True with registers.

    Returns:
        (1, rows * columns, D), computed in float32.
    """
    count, dims = positions.shape[1:]
    side = math.isqrt(count)
    if grid == (side, side):
        return positions
    maps = positions.float().reshape(1, side, side, dims).permute(0, 3, 1, 2)  # (1, D, N, N)
    how = dict(scale_factor=tuple((n + offset) / side for n in grid)) if offset else dict(size=grid)
    maps = F.interpolate(maps, mode='bicubic', antialias=antialias, **how)
    return maps.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], dims).to(positions.dtype)


def resample_kernel(weight: Tensor, patch: int, how: str) -> Tensor:
    """Filters of a patch embedding for patches of another size.

    ``'bicubic'``: plain bicubic resampling of every filter (Rein's and SoMA's files). ``'pi'``: the
    filters whose response to a resampled patch is closest to the old one to the patch: the
    pseudo-inverse of bicubic, antialiased resampling (FlexiViT, Beyer et al., CVPR 2023; timm's
    ``resample_patch_embed``).

    Args:
        weight: (D, C, k, k).
        patch: New side.
        how: ``'bicubic'`` or ``'pi'``.
    """
    old = weight.shape[-1]
    if how == 'bicubic':
        return F.interpolate(weight.float(), (patch, patch), mode='bicubic',
                             align_corners=False).to(weight.dtype)
    # one image per pixel of an old patch
    basis = torch.eye(old * old, dtype=torch.float64).reshape(old * old, 1, old, old)
    resized = F.interpolate(basis, (patch, patch), mode='bicubic', antialias=True)
    matrix = resized.reshape(old * old, patch * patch)  # row: what a pixel becomes
    inverse = torch.linalg.pinv(matrix)  # (new, old)
    flat = weight.double().flatten(2)  # (D, C, old * old)
    return (flat @ inverse.T).reshape(*weight.shape[:2], patch, patch).to(weight.dtype)
