"""Contrast of all pairs of pixels, computed in blocks of rows: CLUDA's term
(docs/behavior/pixl.md#cludas-contrastive-term, items 3 to 5).

Shapes: N pixels, D channels, b pixels of a block of rows.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .precision import at_least_float32

#: exp(1 / temperature) times the number of pixels must stay a float32.
LOWEST_TEMPERATURE = 0.02


def pair_contrast(queries: Tensor, keys: Tensor, labels: Tensor,
                  pair_weight: tuple[Tensor, Tensor] | None = None, complement: bool = False,
                  confidence: Tensor | None = None, temperature: float = 1.,
                  block_size: int | None = 512) -> Tensor:
    """Mean over pixels i of the weighted mean over their positives j of ``-l_ij``.

    ``l_ij = s_ij - log( exp(s_ij) + sum_{k: y_k != y_i} exp(s_ik) )`` with ``s_ij = <q_i, k_j> /
    temperature``; positives are the j != i of the same label. A row's sum of ``w_ij q_i q_j l_ij``
    is divided by its number of positives (1 if there are none), whatever their weights. A block of
    rows costs block_size x N values at a time and is computed again in the backward pass, so that
    nothing of size N x N is ever held; values and gradients are those of the dense formula.

    Args:
        queries: (N, D) unit vectors; half precision is computed in float32.
        keys: (N, D) of the same pixels; may be ``queries`` itself.
        labels: (N,) integers; equal ones are positives. No label is special here.
        pair_weight: (N,) factors a of rows and b of columns, ``w_ij = a_i b_j``; None means 1.
        complement: Use ``1 - a_i b_j`` instead.
        confidence: (N,) factors q of pixels, ``q_i q_j`` of pairs; None means 1.
        temperature: Divides the similarities.
        block_size: Rows at a time; None computes the dense formula.

    Returns:
        0-d; exactly 0 with a graph where there are no pairs.

    Raises:
        ValueError: Shapes that differ, a temperature or block size out of range.
    """
    if queries.dim() != 2 or queries.shape != keys.shape or labels.shape != queries.shape[:1]:
        raise ValueError('queries and keys must be (N, D) and labels (N,), got '
                         f'{tuple(queries.shape)}, {tuple(keys.shape)} and {tuple(labels.shape)}')
    if not temperature >= LOWEST_TEMPERATURE:
        raise ValueError(f'temperature must be at least {LOWEST_TEMPERATURE} (exponentials '
                         f'overflow below), got {temperature}')
    if block_size is not None and block_size < 1:
        raise ValueError(f'block_size counts rows, got {block_size}')
    queries, keys = at_least_float32(queries), at_least_float32(keys)
    count = len(queries)
    ones = queries.new_ones(count)
    rows, columns = (ones, ones) if pair_weight is None else pair_weight
    row_weight, column_weight, trust = (x.to(queries.dtype)
                                        for x in (rows, columns,
                                                  ones if confidence is None else confidence))
    if block_size is None:
        return _rows(0, count, queries, keys, labels, row_weight, column_weight, trust, complement,
                     temperature) / max(count, 1)
    total = queries[:0].sum() + keys[:0].sum()  # 0 with a graph, also where there is no pixel
    for start in range(0, count, block_size):
        total = total + checkpoint(_rows, start, min(start + block_size, count), queries, keys,
                                   labels, row_weight, column_weight, trust, complement,
                                   temperature, use_reentrant=False, preserve_rng_state=False)
    return total / max(count, 1)


def _rows(start: int, stop: int, queries: Tensor, keys: Tensor, labels: Tensor, row_weight: Tensor,
          column_weight: Tensor, trust: Tensor, complement: bool, temperature: float) -> Tensor:
    """Sum (0-d) of the values of rows ``start`` to ``stop``, b rows: for each pixel i among them
    the weighted mean of ``-l_ij`` over its positives j.

    Arguments as of :func:`pair_contrast`, but for ``row_weight`` and ``column_weight``, its pair of
    weights, and ``trust``, its ``confidence``: (N,) each, 1 where nothing was given.
    """
    similar = queries[start:stop] @ keys.T / temperature  # (b, N)
    same = labels[start:stop].unsqueeze(1) == labels
    # (b, 1): the denominator has the pair itself and all pixels of other labels
    others = torch.where(same, 0., similar.exp()).sum(1, keepdim=True)
    log_share = similar - torch.log(similar.exp() + others)
    rows = torch.arange(start, stop, device=labels.device)
    # (b, N): same label, but not the pixel itself
    positive = same & (rows.unsqueeze(1) != torch.arange(len(labels), device=labels.device))
    weight = row_weight[start:stop].unsqueeze(1) * column_weight  # (b, 1) x (N,) -> (b, N)
    weight = (1 - weight if complement else weight) * (trust[start:stop].unsqueeze(1) * trust)
    sums = torch.where(positive, -log_share * weight, 0.).sum(1)
    return (sums / positive.sum(1).clamp(min=1)).sum()
