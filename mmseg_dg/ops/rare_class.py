"""Probabilities of rare class sampling (DAFormer;
docs/behavior/daformer_hrda.md#rare-class-sampling).

Shapes: K classes.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def rare_class_probabilities(totals: Sequence[int] | np.ndarray | Tensor,
                             temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """How often each class is asked for: P(c) = softmax((1 - f_c) / T), with f_c the share of
    pixels of class c.

    A low temperature prefers rare classes; a high one makes all equally likely. Classes without a
    pixel are left out.

    Args:
        totals: (num_classes,) pixels of each class over the whole dataset.
        temperature: T, positive.

    Returns:
        Class ids int64 (K,), rarest first (ties by class id), and their probabilities float32 (K,),
        which sum to 1 up to float32 rounding.

    Raises:
        ValueError: Not a 1-D vector of counts, a negative count, no pixel at all, temperature not
            positive.
    """
    counts = np.asarray(totals.cpu() if isinstance(totals, Tensor) else totals)
    if counts.ndim != 1 or counts.dtype.kind not in 'iu':
        raise ValueError(f'totals must be a 1-D vector of integer counts, got shape {counts.shape} '
                         f'{counts.dtype}')
    counts = counts.astype(np.int64)
    if (counts < 0).any():
        raise ValueError(f'totals must not be negative, got {counts.tolist()}')
    if not counts.any():
        raise ValueError(f'totals has no labeled pixel: {counts.tolist()}; are the label files '
                         'those of the classes?')
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    order = np.argsort(counts, kind='stable')
    classes = order[counts[order] > 0].astype(np.int64)
    # In float32 like the official code: it underflows for frequent classes in the same way.
    kept = torch.from_numpy(counts[classes])
    frequency = kept / kept.sum()
    probabilities = torch.softmax((1 - frequency) / temperature, 0)
    return classes, probabilities.numpy()
