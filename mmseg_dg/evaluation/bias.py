"""Bias toward frequent classes: scores of head, middle and tail classes.

What semi-supervised papers claim to improve with "unbiased" pseudo-labels is hidden in one mean:
self-training moves pixels from rare to frequent classes. Classes are sorted by their number of
pixels and cut into thirds (docs/behavior/diffmatch.md#measures-of-bias).
"""
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np

from mmseg_dg.registry import METRICS

from .class_maps import class_id
from .confusion import nan_mean, scores
from .confusion_metric import ConfusionMatrixMetric

#: Names of the groups, most frequent classes first.
GROUPS = ('head', 'middle', 'tail')

Frequency = Union[Sequence[float], Mapping[Union[str, int], float]]


def sort_by_frequency(frequency: Union[Sequence[float], np.ndarray],
                      subset: Optional[Sequence[int]] = None) -> list[int]:
    """Class ids from most to least frequent; equal ones in the order of their ids.

    Args:
        frequency: Pixels (or shares) per class.
        subset: Ids that take part; None: all.
    """
    ids = range(len(frequency)) if subset is None else subset
    return sorted(ids, key=lambda i: (-float(frequency[i]), i))


def frequency_groups(frequency: Union[Sequence[float], np.ndarray],
                     subset: Optional[Sequence[int]] = None) -> dict[str, list[int]]:
    """Class ids of head, middle and tail: thirds of the sorted classes, earlier groups one larger
    where it must be.

    Args:
        frequency: Pixels (or shares) per class.
        subset: Ids that take part; None: all.

    Raises:
        ValueError: Fewer than three classes.
    """
    order = sort_by_frequency(frequency, subset)
    if len(order) < len(GROUPS):
        raise ValueError(f'head, middle and tail need at least {len(GROUPS)} scored classes, got '
                         f'{len(order)}')
    return {name: part.tolist() for name, part in zip(GROUPS, np.array_split(order, len(GROUPS)))}


def bias_scores(confusion: np.ndarray, names: Sequence[str],
                frequency: Optional[Sequence[float]] = None,
                subset: Optional[Sequence[int]] = None) -> dict[str, float]:
    """Scores of the thirds and the shares they are sorted by.

    Args:
        confusion: int64 (C, >= C); rows are ground truth.
        names: C class names.
        frequency: Pixels or shares per class by which they are sorted; None: the ground truth of
            ``confusion``.
        subset: Ids that are scored; None: all.

    Returns:
        In percent: ``mIoU.<group>`` and ``mAcc.<group>`` (mean recall) for each of
        :data:`GROUPS`, and ``Share.<class>`` of each scored class. ``mAcc.<group>`` is nan where no
        class of the group occurs in the labels, ``mIoU.<group>`` where none occurs or is predicted.
    """
    labeled_pixels = confusion.sum(1)
    shares = np.asarray(labeled_pixels if frequency is None else frequency, np.float64)
    ids = list(range(len(names)) if subset is None else subset)
    result = scores(confusion, subset)
    named: dict[str, float] = {}
    for group, members in frequency_groups(shares, subset).items():
        named[f'mIoU.{group}'] = nan_mean([result.iou[i] for i in members])
        named[f'mAcc.{group}'] = nan_mean([result.acc[i] for i in members])
    total = shares[ids].sum() or 1.0  # no label at all: shares of 0 instead of a division by 0
    named.update({f'Share.{names[i]}': float(100 * shares[i] / total) for i in ids})
    return named


def domain_bias(metrics: dict[str, float]) -> dict[str, tuple[list[str], list[float], list[float]]]:
    """``{domain: (classes, shares, IoU)}`` of the domains whose metrics have ``Share.<class>``.

    Args:
        metrics: ``{'<domain>/IoU.<class>': ..., '<domain>/Share.<class>': ...}``, as an evaluation
            returns them.
    """
    found: dict[str, tuple[list[str], list[float], list[float]]] = {}
    for key, value in metrics.items():
        domain, _, name = key.rpartition('/Share.')
        if domain and f'{domain}/IoU.{name}' in metrics:
            classes, shares, iou = found.setdefault(domain, ([], [], []))
            classes.append(name)
            shares.append(float(value))
            iou.append(float(metrics[f'{domain}/IoU.{name}']))
    return found


@METRICS.register_module()
class ClassBiasMetric(ConfusionMatrixMetric):
    """:class:`ConfusionMatrixMetric` that also scores frequent, middling and rare classes.

    Besides the base's keys it returns ``mIoU.head``, ``mIoU.middle``, ``mIoU.tail``, the same of
    ``mAcc`` (mean class recall), and ``Share.<class>``, the share of pixels in percent by which the
    classes are sorted.

    Args:
        frequency: Pixels or shares per class by which the classes are sorted: a list in the order
            of the scored classes, or a dict by class name. None: the labels of the evaluated
            images. Give it when several domains or runs are compared, so that their thirds hold the
            same classes.
        kwargs: Of :class:`ConfusionMatrixMetric` (it refuses unknown ones).

    Raises:
        ValueError: Frequencies that do not fit the scored classes.
    """
    def __init__(self, frequency: Optional[Frequency] = None, **kwargs: Any) -> None:
        self.frequency = frequency
        super().__init__(**kwargs)

    def class_frequency(self) -> Optional[list[float]]:
        """The given frequencies in the order of the scored classes; None where the labels decide.
        """
        if self.frequency is None:
            return None
        names = self.scored_names
        if isinstance(self.frequency, Mapping):
            by_class = {
                class_id(key, names, 'frequency'): float(value)
                for key, value in self.frequency.items()
            }
        else:
            by_class = dict(enumerate(map(float, self.frequency)))
        missing = [name for i, name in enumerate(names) if i not in by_class]
        if missing or len(by_class) != len(names) or min(by_class.values()) < 0:
            raise ValueError(
                f'frequency needs one number >= 0 for each of the {len(names)} scored '
                f'classes {list(names)}; got {len(by_class)}, missing {missing or "none"}')
        return [by_class[i] for i in range(len(names))]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores of the sum of confusion matrices, and those of the thirds."""
        named = super().compute_metrics(results)
        named.update(
            bias_scores(sum(results), self.scored_names, self.class_frequency(), self.subset()))
        return named
