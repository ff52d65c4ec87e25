"""Feature distance to a frozen encoder, on the cells of chosen classes (DAFormer's thing-class
ImageNet feature distance; docs/behavior/daformer_hrda.md#feature-distance).

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .labels import check_ignore_index
from .precision import at_least_float32
from .transfer import on_device


@torch.no_grad()
def downscale_labels(labels: Tensor, factor: int, min_ratio: float, num_classes: int,
                     ignore_index: int = 255) -> Tensor:
    """Shrink a label map; a cell gets a class only where that class clearly dominates.

    Each cell of ``factor x factor`` pixels takes its most frequent label, the lowest class id
    winning a tie. The cell becomes ``ignore_index`` when that label's share is below ``min_ratio``
    (a share of exactly ``min_ratio`` is kept) or the winner is the ignore label. Equal to the
    argmax of the average-pooled one-hot labels, but counted directly: no float tensor of
    num_classes x H x W.

    Args:
        labels: Integer (B, H, W), values 0..num_classes-1 and ``ignore_index``.
        factor: Cell side; for features of width w use ``W // w``. Rows and columns beyond the last
            whole cell are dropped, as average pooling does.
        min_ratio: Smallest share of the winner, in [0, 1].
        num_classes: Number of classes.
        ignore_index: Label that belongs to no class.

    Returns:
        int64 (B, H // factor, W // factor).

    Raises:
        ValueError: Wrong shape, dtype or range, labels outside the classes, or an ``ignore_index``
            among them.
    """
    _check_downscale(labels, factor, min_ratio)
    check_ignore_index(num_classes, ignore_index)
    rows, columns = labels.shape[1] // factor, labels.shape[2] // factor
    pixels = labels[:, :rows * factor, :columns * factor].long()
    ignored = pixels == ignore_index
    _check_ids(pixels, ignored, num_classes, ignore_index, labels.shape)
    # the ignore label is counted as one class more
    counts = _cell_counts(pixels.masked_fill(ignored, num_classes), factor, num_classes + 1)
    winner = counts.argmax(-1)  # the first maximum
    share = counts.amax(-1).float() / factor**2
    return winner.masked_fill((share < min_ratio) | (winner == num_classes), ignore_index)


def _check_downscale(labels: Tensor, factor: int, min_ratio: float) -> None:
    """Refuse (ValueError) arguments of :func:`downscale_labels`, but for ids."""
    if labels.dim() != 3 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f'labels must be integer (B, H, W), got {tuple(labels.shape)} '
                         f'{labels.dtype}')
    if not 1 <= factor <= min(labels.shape[1:]):
        raise ValueError(f'factor must lie between 1 and the label side, got {factor} for '
                         f'{tuple(labels.shape)}')
    if not 0 <= min_ratio <= 1:
        raise ValueError(f'min_ratio must lie in [0, 1], got {min_ratio}')


def _check_ids(pixels: Tensor, ignored: Tensor, num_classes: int, ignore_index: int,
               shape: torch.Size) -> None:
    """Refuse ids (int64, any shape) that are neither a class nor ``ignored`` (bool, same shape);
    ``shape`` is that of the whole labels, for the message.
    """
    unknown = ~ignored & ((pixels < 0) | (pixels >= num_classes))
    if unknown.device.type != 'cpu':  # an error of the device, which the host need not wait for
        torch._assert_async(~unknown.any(),
                            f'labels must be 0..{num_classes - 1} or {ignore_index}')
    elif unknown.any():
        raise ValueError(f'labels must be 0..{num_classes - 1} or {ignore_index}, got '
                         f'{pixels[unknown].unique().tolist()} in labels {tuple(shape)}')


def _cell_counts(pixels: Tensor, factor: int, bins: int) -> Tensor:
    """Pixels of each id in each cell.

    Args:
        pixels: int64 (B, H, W), ids 0..bins-1; H and W are multiples of ``factor``.
        factor: Cell side.
        bins: Number of ids.

    Returns:
        int64 (B, H / factor, W / factor, bins).
    """
    batch, height, width = pixels.shape
    rows, columns = height // factor, width // factor
    # number of a pixel's cell, (B, rows, 1, columns, 1)
    cell_index = torch.arange(batch * rows * columns,
                              device=pixels.device).view(batch, rows, 1, columns, 1)
    # (B, rows, factor, columns, factor): one histogram of ``bins`` numbers per cell
    index = cell_index * bins + pixels.view(batch, rows, factor, columns, factor)
    index = index.flatten()  # (B * rows * factor * columns * factor,)
    # not bincount, which reads the largest index back from a GPU
    counts = index.new_zeros(batch * rows * columns * bins).scatter_add_(
        0, index, torch.ones_like(index))
    return counts.view(batch, rows, columns, bins)  # (B, rows, columns, bins)


def class_membership(labels: Tensor, classes: Sequence[int] | Tensor) -> Tensor:
    """Mark the positions whose label is one of ``classes``.

    Args:
        labels: Integer, any shape.
        classes: Class ids; none selects nothing.

    Returns:
        bool, shape and device of ``labels``.

    Raises:
        ValueError: ``labels`` is not an integer tensor.
    """
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f'labels must be integers, got {labels.dtype}')
    return torch.isin(labels, on_device(classes, labels.device, torch.long))


def feature_distance(features: Tensor, reference: Tensor, mask: Tensor | None = None,
                     reduction: str = 'mean') -> Tensor | tuple[Tensor, Tensor]:
    """Euclidean distance over the channels (not squared), averaged over the masked positions of the
    batch.

    Computed in float32 (float64 for float64 features). Where the features coincide the gradient is
    0. With an empty mask the result is 0 and stays connected to the graph with a gradient of
    exactly 0; the official code logs NaN there, with the same gradient.

    Args:
        features: Floating point (B, C, h, w).
        reference: Same shape; detached.
        mask: bool (B, h, w) or (B, 1, h, w), positions that count. Default: all.
        reduction: 'mean', or 'sum_count' to get the two parts of a mean over several processes.

    Returns:
        0-d mean, or the 0-d sum and the number of positions (0-d int64).

    Raises:
        ValueError: Shapes that do not agree, wrong dtypes, unknown reduction.
    """
    if features.dim() != 4 or features.shape != reference.shape:
        raise ValueError(f'features {tuple(features.shape)} and reference {tuple(reference.shape)} '
                         'must both be the same (B, C, h, w)')
    if not features.is_floating_point() or not reference.is_floating_point():
        raise ValueError(f'features and reference must be floating point, got {features.dtype}, '
                         f'{reference.dtype}')
    if reduction not in ('mean', 'sum_count'):
        raise ValueError(f"reduction must be 'mean' or 'sum_count', got {reduction!r}")
    features = at_least_float32(features)
    distance = torch.linalg.vector_norm(features - reference.detach().to(features.dtype), dim=1)
    if mask is None:
        count = torch.full((), distance.numel(), device=distance.device)
    else:
        if mask.dim() == 4 and mask.shape[1] == 1:
            mask = mask.squeeze(1)
        if mask.shape != distance.shape or mask.dtype != torch.bool:
            raise ValueError(f'mask must be bool {tuple(distance.shape)}, got {mask.dtype} '
                             f'{tuple(mask.shape)}')
        # Selected by where, not by indexing: no transfer of the count from the device.
        distance = torch.where(mask, distance, distance.new_zeros(()))
        count = mask.sum()
    total = distance.sum()
    if reduction == 'sum_count':
        return total, count
    return total / count.clamp(min=1)
