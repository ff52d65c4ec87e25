"""Finding the dataset that owns a sample behind mmengine's and torch's wrappers.

Shapes: N samples.
"""
from collections.abc import Iterator
from typing import Any

import numpy as np


def locate(dataset: Any, index: int) -> tuple[Any, int]:
    """The innermost dataset and the index in it of sample ``index``.

    Understands mmengine's ``ConcatDataset``, ``RepeatDataset`` and ``ClassBalancedDataset``,
    torch's ``Subset`` and :class:`SeededDataset`. Other wrappers are returned as they are: they are
    used as a whole.
    """
    while True:
        if hasattr(dataset, '_get_ori_dataset_idx'):
            found = dataset._get_ori_dataset_idx(index)
            if isinstance(found, tuple):
                dataset, index = dataset.datasets[found[0]], found[1]
            else:
                dataset, index = dataset.dataset, found
        elif hasattr(dataset, 'indices') and hasattr(dataset, 'dataset'):
            dataset, index = dataset.dataset, dataset.indices[index]
        elif getattr(dataset, 'is_transparent', False):
            dataset = dataset.dataset
        else:
            return dataset, int(index)


def leaves(dataset: Any) -> Iterator[Any]:
    """Every innermost dataset, in order."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from leaves(part)
    elif hasattr(dataset, 'dataset'):
        yield from leaves(dataset.dataset)
    else:
        yield dataset


def flatten(dataset: Any) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Innermost datasets and, for each sample of ``dataset``, which of them has it and where.

    Returns:
        tuple: List of datasets; int64 (N,) position in that list; int64 (N,) index inside that
            dataset.
    """
    if hasattr(dataset, 'datasets'):
        parts: list[Any] = []
        which, local = [], []
        for part in dataset.datasets:
            inner, inner_which, inner_local = flatten(part)
            which.append(inner_which + len(parts))
            local.append(inner_local)
            parts += inner
        return parts, np.concatenate(which), np.concatenate(local)
    if hasattr(dataset, 'dataset'):
        inner, inner_which, inner_local = flatten(dataset.dataset)
        if hasattr(dataset, 'indices'):
            rows = np.asarray(dataset.indices, dtype=np.int64)
        elif hasattr(dataset, '_get_ori_dataset_idx'):
            rows = np.fromiter((dataset._get_ori_dataset_idx(i) for i in range(len(dataset))),
                               np.int64, len(dataset))
        # a wrapper that keeps the order, such as SeededDataset or mmseg's MultiImageMixDataset
        else:
            return inner, inner_which, inner_local
        return inner, inner_which[rows], inner_local[rows]
    return [dataset], np.zeros(len(dataset), np.int64), np.arange(len(dataset), dtype=np.int64)


def transforms_of(pipeline: Any) -> Iterator[Any]:
    """Every transform of a pipeline, those inside nested wrappers too."""
    for step in getattr(pipeline, 'transforms', pipeline) or ():
        if isinstance(step, (list, tuple)):  # mmcv's RandomChoice holds lists of pipelines
            yield from transforms_of(step)
            continue
        yield step
        inner = getattr(step, 'transforms', None)
        if inner is not None:
            yield from transforms_of(inner)
