"""Farthest point sampling: a few points that cover a cloud.

Shapes: N points, D coordinates.
"""
import torch
from torch import Tensor


def farthest_points(points: Tensor, count: int, start: int = 0) -> Tensor:
    """Choose points one by one, each the farthest (Euclidean) from those chosen before.

    Args:
        points: (N, D), any float dtype; distances are computed in float64.
        count: Points to choose, 1..N.
        start: Index of the first one.

    Returns:
        Indices (count,), int64, in the order of choice; of equally far points the one of lowest
        index. Points that coincide with a chosen one come last.

    Raises:
        ValueError: ``points`` is no (N, D) array of finite numbers, or ``count`` or ``start`` do
            not fit it.
    """
    if points.dim() != 2 or not torch.isfinite(points).all():
        raise ValueError(
            f'points must be finite numbers of shape (N, D), got {tuple(points.shape)}')
    number = len(points)
    if not 1 <= count <= number or not 0 <= start < number:
        raise ValueError(f'{number} points: count={count} must lie in 1..{number} and '
                         f'start={start} in 0..{number - 1}')
    points = points.double()
    chosen = torch.empty(count, dtype=torch.int64)
    distance = points.new_full((number, ), float('inf'))
    index = start
    for i in range(count):
        chosen[i] = index
        distance = torch.minimum(distance, (points - points[index]).square().sum(dim=1))
        distance[index] = -1  # never twice, also among coinciding points
        index = int(distance.argmax())
    return chosen.to(points.device)
