"""Finding the dataset that owns a sample behind mmengine's and torch's wrappers.

Shapes: N samples.
"""
from collections.abc import Iterator
from typing import Any

import numpy as np

from .traits import traits


def locate(dataset: Any, index: int) -> tuple[Any, int]:
    """The innermost dataset and the index in it of sample ``index``.

    Understands mmengine's ``ConcatDataset``, ``RepeatDataset`` and ``ClassBalancedDataset``,
    torch's ``Subset`` and :class:`SeededDataset`. Other wrappers are returned as they are: they are
    used as a whole.
    """
    while True:
        known = traits(dataset)
        # wrappers that know the original index, torch's Subset, wrappers that keep the order
        if known.original_index is not None:
            found = known.original_index(index)
            if isinstance(found, tuple):
                assert known.parts is not None  # of several
                dataset, index = known.parts[found[0]], found[1]
            else:
                dataset, index = known.inner, found
        elif known.indices is not None and known.inner is not None:
            dataset, index = known.inner, known.indices[index]
        elif known.is_transparent:
            dataset = known.inner
        else:
            return dataset, int(index)


def leaves(dataset: Any) -> Iterator[Any]:
    """Every innermost dataset, in order."""
    known = traits(dataset)
    if known.parts is not None:
        for part in known.parts:
            yield from leaves(part)
    elif known.inner is not None:
        yield from leaves(known.inner)
    else:
        yield dataset


def flatten(dataset: Any) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Innermost datasets and, for each sample of ``dataset``, which of them has it and where.

    Returns:
        tuple: List of datasets; int64 (N,) position in that list; int64 (N,) index inside that
            dataset.
    """
    known = traits(dataset)
    if known.parts is not None:
        parts: list[Any] = []
        which, local = [], []
        # positions count on from those of the parts before
        for part in known.parts:
            inner, inner_which, inner_local = flatten(part)
            which.append(inner_which + len(parts))
            local.append(inner_local)
            parts += inner
        return parts, np.concatenate(which), np.concatenate(local)
    if known.inner is not None:
        inner, inner_which, inner_local = flatten(known.inner)
        if known.indices is not None:
            rows = np.asarray(known.indices, dtype=np.int64)
        elif known.original_index is not None:
            rows = np.fromiter((known.original_index(i) for i in range(len(dataset))), np.int64,
                               len(dataset))
        # a wrapper that keeps the order, such as SeededDataset or mmseg's MultiImageMixDataset
        else:
            return inner, inner_which, inner_local
        return inner, inner_which[rows], inner_local[rows]
    return [dataset], np.zeros(len(dataset), np.int64), np.arange(len(dataset), dtype=np.int64)


def transforms_of(pipeline: Any) -> Iterator[Any]:
    """Every transform of a pipeline, those inside nested wrappers too."""
    for step in steps_of(pipeline):
        if isinstance(step, (list, tuple)):  # mmcv's RandomChoice holds lists of pipelines
            yield from transforms_of(step)
            continue
        yield step
        inner = steps_of(step)
        if inner:
            yield from transforms_of(inner)


def steps_of(transform: Any) -> list:
    """Steps of a pipeline or of a transform that holds others (mmcv's wrappers); empty for others.

    Args:
        transform: mmengine's ``Compose``, a list, a transform, or None.
    """
    if isinstance(transform, (list, tuple)):
        return list(transform)
    return list(getattr(transform, 'transforms', None) or ())
