"""Image sizes for encoders that cut images into patches, and position embeddings for grids of any
size.

Shapes: B images, N x N patches of the stored grid, C channels of an image, D channels of a token, H
x W pixels, h x w places of a smaller map.
"""
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_dg.ops.pairs import pair

RESIZE = (None, 'multiple', 'scale')


def check_resize(resize: Optional[str], factor: float, owner: str) -> None:
    """Refuse a policy of image sizes without meaning; ``owner`` is named in the message.

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
    # while a network is exported for images of any size, sides are symbols
    if any(isinstance(side, torch.SymInt) for side in size):
        return _free_size(size, patch, resize, factor)
    height, width = (int(side) for side in size)
    if resize == 'multiple':
        # int(... + 0.5), not round(), which takes halves to the even number
        return pair(max(int(side / patch + 0.5), 1) * patch for side in (height, width))
    if resize == 'scale':
        new = pair(_scaled(side, patch, factor) for side in (height, width))
        if min(new) < patch:
            raise ValueError(
                f'{owner}: an image of {width}x{height} (width x height) times {factor} is smaller '
                f'than a patch of {patch} pixels')
        return new
    if height % patch or width % patch or min(height, width) < patch:
        near = [max(side // patch, 1) * patch for side in (width, height)]  # sizes that would fit
        raise ValueError(
            f'{owner}: an image of {width}x{height} (width x height) cannot be cut into patches of '
            f'{patch} pixels: train on crops such as {near[0]}x{near[1]} and test in windows of '
            'that size, or set resize="multiple" (also "scale") of the encoder, or patch_size=16 '
            'where sides are multiples of 16')
    return height, width


def _free_size(size: Sequence[Any], patch: int, resize: Optional[str],
               factor: float) -> tuple[Any, ...]:
    """:func:`target_size` while a network is exported: ``size`` are symbols (``torch.SymInt``) that
    stand for any size, so that only whole-number arithmetic is used, and no comparison.

    Without a policy, sides are taken to be multiples of the patch; the graph fails on others.
    """
    if resize == 'multiple':  # floor(side / patch + 1/2)
        return tuple((2 * side + patch) // (2 * patch) * patch for side in size)
    if resize == 'scale':
        return tuple(_scaled(side, patch, factor) for side in size)
    return tuple(size)


def _scaled(side: Any, patch: int, factor: float) -> Any:
    """``floor(factor * side / patch) * patch`` of a side in pixels, an int or a symbol.

    In whole numbers: 0.7 * 180 is 126, as a product of floats a little less.
    """
    exact = Fraction(factor).limit_denominator(1000)  # 1.1 is 11/10, no float any more
    return side * exact.numerator // (exact.denominator * patch) * patch


def fit_size(images: Tensor, patch: int, resize: Optional[str], factor: float,
             owner: str) -> Tensor:
    """Bring images (B, C, H, W) to :func:`target_size`, bilinearly without antialiasing.

    Corners are aligned for ``'multiple'`` (UniMatch V2) and not for ``'scale'`` (VFM-UDA), as in
    the published codes.
    """
    size = target_size(images.shape[-2:], patch, resize, factor, owner)
    if torch.compiler.is_compiling():  # sizes of an exported graph cannot be compared
        if resize is None:  # the size is the images' own
            return images
    elif size == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, size, mode='bilinear', align_corners=resize == 'multiple')


def interpolate_positions(positions: Tensor, grid: tuple[int, int], offset: float = 0.1,
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
    if torch.compiler.is_compiling():  # the grid of an exported graph is not a pair of numbers
        return _positions_of_a_free_grid(positions, side, grid, offset, antialias)
    if grid == (side, side):
        return positions
    maps = positions.float().reshape(1, side, side, dims).permute(0, 3, 1, 2)  # (1, D, N, N)
    # both give maps of the size ``grid``; with a scale_factor, samples lie by this factor
    how = dict(scale_factor=tuple((n + offset) / side for n in grid)) if offset else dict(size=grid)
    maps = F.interpolate(maps, mode='bicubic', antialias=antialias, **how)
    # (1, D, rows, columns) -> (1, rows * columns, D)
    return maps.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], dims).to(positions.dtype)


def _positions_of_a_free_grid(positions: Tensor, side: int, grid: tuple[Any, Any], offset: float,
                              antialias: bool) -> Tensor:
    """:func:`interpolate_positions` for an exported graph, whose ``grid`` are symbols that stand
    for any numbers: as two matrix products, without a comparison of numbers.

    Args:
        positions, grid, offset, antialias: As there.
        side: N, rows and columns of the stored grid.
    """
    maps = positions.float().reshape(side, side, -1).permute(2, 0, 1)  # (D, N, N)
    # a comparison of tensors, which is computed when the graph runs: is ``grid`` the stored one?
    one = torch.ones_like(maps[0, 0, :1])  # (1,)
    stored = ((one * grid[0] == side) & (one * grid[1] == side))[:, None]  # (1, 1)
    # matrices (h, N) and (w, N) that resample rows and columns; the identity for the stored grid
    rows, columns = (torch.where(stored, _unit(n, side, maps),
                                 _bicubic(side, n, offset, antialias, maps)) for n in grid)
    maps = rows @ maps @ columns.transpose(0, 1)  # (D, h, w)
    # (D, h, w) -> (1, h * w, D)
    return maps.permute(1, 2, 0).flatten(0, 1)[None].to(positions.dtype)


def _unit(count: Any, side: int, like: Tensor) -> Tensor:
    """(count, side) matrix with ones where row and column are equal; ``like`` gives device and
    type.
    """
    rows, columns = (torch.arange(n, device=like.device) for n in (count, side))
    return (rows[:, None] == columns[None]).to(like.dtype)


def _bicubic(side: int, count: Any, offset: float, antialias: bool, like: Tensor) -> Tensor:
    """(count, side) matrix that resamples ``side`` values to ``count`` as PyTorch does: cubic
    kernels with a = -0.75, with antialiasing -0.5. ``like`` gives device and type.
    """
    # stored values per sample, (1,); made a tensor, because ``count`` may be a symbol
    step = side / ((torch.ones_like(like[0, 0, :1]) * count) + offset)
    # where each sample lies on the stored values, (count, 1), and the values, (1, side)
    center = (torch.arange(count, device=like.device)[:, None] + 0.5) * step
    place = torch.arange(side, device=like.device)[None]
    if antialias:  # a kernel that is wider where samples are fewer than values; rows sum to 1
        weight = _cubic((place + 0.5 - center) / step.clamp(min=1), -0.5)
        return weight / weight.sum(dim=1, keepdim=True)
    first = (center - 0.5).floor()  # the last stored value at or before each sample, (count, 1)
    result = torch.zeros_like(center) * place  # (count, side)
    # a cubic kernel reads four values, of which ``first`` is the second; in place of those beyond
    # the border it reads the value at the border
    for tap in range(-1, 3):
        weight = _cubic(center - 0.5 - first - tap, -0.75)
        result = result + weight * ((first + tap).clamp(0, side - 1) == place)
    return result


def _cubic(x: Tensor, a: float) -> Tensor:
    """Keys' cubic convolution kernel at distances ``x`` (any shape), 0 from distance 2 on;
    PyTorch's ``a`` is -0.75, with antialiasing -0.5.
    """
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


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

    Returns:
        (D, C, patch, patch), same type.
    """
    old = weight.shape[-1]
    if how == 'bicubic':
        return F.interpolate(weight.float(), (patch, patch), mode='bicubic',
                             align_corners=False).to(weight.dtype)
    # how resizing acts on a patch: one image per pixel of an old patch, 1 there and 0 elsewhere,
    # (old * old, 1, old, old)
    basis = torch.eye(old * old, dtype=torch.float64).reshape(old * old, 1, old, old)
    resized = F.interpolate(basis, (patch, patch), mode='bicubic', antialias=True)
    # (old * old, new * new); a row is what one pixel becomes
    matrix = resized.reshape(old * old, patch * patch)
    # a filter w of old patches p and the new one v should agree: <w, p> = <v, p matrix>, so that
    # matrix v = w, in the least squares
    inverse = torch.linalg.pinv(matrix)  # (new * new, old * old)
    flat = weight.double().flatten(2)  # (D, C, old * old)
    # (D, C, new * new) -> (D, C, new, new)
    return (flat @ inverse.T).reshape(*weight.shape[:2], patch, patch).to(weight.dtype)
