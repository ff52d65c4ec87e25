"""Many small tensors as few flat ones, so that an operation costs one kernel instead of hundreds.

Shapes: N elements.
"""
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

#: Flat buffers have at most this many bytes.
BUCKET_BYTES = 64 * 2**20


def buckets(tensors: Iterable[Tensor], limit: int = BUCKET_BYTES) -> Iterator[list[Tensor]]:
    """Consecutive groups of tensors of any shape, for :func:`flat`.

    The tensors of a group have one dtype and one device, and together at most ``limit`` bytes; a
    larger tensor is a group of its own. The order of the tensors is kept.
    """
    group: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if group and (group[-1].dtype != tensor.dtype or group[-1].device != tensor.device
                      or size + tensor.nbytes > limit):
            yield group
            group, size = [], 0
        group.append(tensor)
        size += tensor.nbytes
    if group:
        yield group


def flat(tensors: list[Tensor]) -> Tensor:
    """All elements of a bucket (a list of :func:`buckets`), one tensor after the other, (N,)."""
    return torch.cat([t.reshape(-1) for t in tensors])  # any shapes -> (N,)


@torch.no_grad()
def scatter(values: Tensor, into: list[Tensor]) -> None:
    """Write a flat vector (N,) back into the tensors that :func:`flat` joined, in place.

    Args:
        values: One value per element, in the order of :func:`flat`.
        into: The list that was given to :func:`flat`.
    """
    parts = values.split([t.numel() for t in into])
    # (n_i,) -> the shape of the i-th tensor; one kernel copies all of them
    torch._foreach_copy_(into, [part.view_as(t) for part, t in zip(parts, into)])
