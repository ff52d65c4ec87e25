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
        wrapper = traits(dataset)
        if wrapper.original_index is not None:  # mmengine's wrappers
            original = wrapper.original_index(index)
            if isinstance(original, tuple):  # of a concatenation: (which part, index there)
                assert wrapper.parts is not None
                dataset, index = wrapper.parts[original[0]], original[1]
            else:
                dataset, index = wrapper.inner, original
        elif wrapper.indices is not None and wrapper.inner is not None:  # torch's Subset
            dataset, index = wrapper.inner, wrapper.indices[index]
        elif wrapper.is_transparent:  # SeededDataset keeps the order
            dataset = wrapper.inner
        else:
            return dataset, int(index)


def leaves(dataset: Any) -> Iterator[Any]:
    """Every innermost dataset, in order: inside concatenations and any wrapper around one."""
    wrapper = traits(dataset)
    if wrapper.parts is not None:
        for part in wrapper.parts:
            yield from leaves(part)
    elif wrapper.inner is not None:
        yield from leaves(wrapper.inner)
    else:
        yield dataset


def flatten(dataset: Any) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Innermost datasets and, for each sample of ``dataset``, which of them has it and where.

    Returns:
        tuple: List of datasets; int64 (N,) position in that list; int64 (N,) index inside that
            dataset.
    """
    wrapper = traits(dataset)
    if wrapper.parts is not None:
        parts: list[Any] = []
        which, local = [], []
        # positions in the list count on from those of the parts before
        for part in wrapper.parts:
            inner, inner_which, inner_local = flatten(part)
            which.append(inner_which + len(parts))
            local.append(inner_local)
            parts += inner
        return parts, np.concatenate(which), np.concatenate(local)
    if wrapper.inner is not None:
        inner, inner_which, inner_local = flatten(wrapper.inner)
        # rows: for each sample of this wrapper the sample of the dataset inside
        if wrapper.indices is not None:  # torch's Subset
            rows = np.asarray(wrapper.indices, dtype=np.int64)
        elif wrapper.original_index is not None:  # mmengine's wrappers around one dataset
            rows = np.fromiter((wrapper.original_index(i) for i in range(len(dataset))), np.int64,
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
