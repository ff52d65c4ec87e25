"""What a training stream's labels hold, for evaluations that compare with it.

Shapes: C classes.
"""
from typing import Any

import numpy as np

from mmseg_dg.datasets.crop_setting import training_loaders
from mmseg_dg.datasets.statistics.class_statistics import class_statistics
from mmseg_dg.registry import DATASETS


def class_counts(cfg: Any, stream: str) -> np.ndarray:
    """Pixels of each class in the labels of a training stream, from the cache where they were
    counted before.

    Args:
        cfg: Config of the run.
        stream: Name in ``train_dataloader``.

    Returns:
        int64 (C,).

    Raises:
        ValueError: There is no such stream.
    """
    loaders = training_loaders(cfg)
    if not isinstance(loaders.get(stream), dict) or 'dataset' not in loaders[stream]:
        raise ValueError(
            f'LabelFreeMetric: prior={stream!r} is no training stream of this config, which has '
            f'{list(loaders)}; name a labeled one, or give the shares themselves')
    return class_statistics(DATASETS.build(loaders[stream]['dataset'])).totals
