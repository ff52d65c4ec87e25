"""Confusion matrices: counting one image, mapping classes, and the scores that follow from the
counts.

Pure functions. Rows are ground truth, columns are predictions, entries are pixels.

Shapes: R rows of a matrix, P predicted classes, K scored classes, C classes, H x W pixels.
"""
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor


class Scores(NamedTuple):
    """Scores of one confusion matrix, in percent, unrounded.

    Attributes:
        iou: (C,) float64; intersection over union of each class. nan where the class is in neither
            the ground truth nor the predictions, or is not scored; 0 where it is only predicted.
        acc: (C,) float64; recall of each class, nan where the class has no ground truth or is not
            scored.
        miou: nan-mean of ``iou``.
        macc: nan-mean of ``acc``.
        aacc: Share of correct pixels among those whose ground truth is a scored class.
    """
    iou: np.ndarray
    acc: np.ndarray
    miou: float
    macc: float
    aacc: float


def confusion_matrix(prediction: Tensor, label: Tensor, num_classes: int,
                     num_predicted: Optional[int] = None, ignore_index: int = 255) -> np.ndarray:
    """Count the (ground truth, prediction) pairs of one image.

    Args:
        prediction: Predicted class ids, (H, W), any integer dtype, in [0, num_predicted).
        label: Ground truth ids, (H, W), any integer dtype, in [0, num_classes) or ``ignore_index``.
        num_classes: Number of ground truth classes.
        num_predicted: Number of classes the network predicts; ``num_classes`` by default.
        ignore_index: Label id of pixels that are not counted.

    Returns:
        int64 array (num_classes, num_predicted). The work is done on the device of ``prediction``.

    Raises:
        ValueError: Shapes differ, or an id is outside its range.
    """
    num_predicted = num_classes if num_predicted is None else num_predicted
    if prediction.shape != label.shape or prediction.dim() != 2:
        raise ValueError(f'the prediction is {_size(prediction)} (height x width), the label is '
                         f'{_size(label)}: labels are scored at the size they have on disk, so '
                         'load them after any Resize of the test pipeline')
    table = _row_table(num_classes, num_predicted, ignore_index)
    _check_ids(prediction, num_predicted)
    if label.numel() and not 0 <= int(label.min()) <= int(label.max()) < len(table):
        raise ValueError(_bad_label_text(label, num_classes, ignore_index))
    size = (num_classes + 2) * num_predicted  # two more rows: ignored, and not allowed
    count = _count_numpy if prediction.device.type == 'cpu' else _count_torch
    # (classes + 2) * predicted numbers -> (classes + 2, predicted)
    counts = count(prediction, label, table,
                   size).reshape(num_classes + 2, num_predicted).astype(np.int64, copy=False)
    if counts[-1].any():
        raise ValueError(_bad_label_text(label, num_classes, ignore_index))
    return counts[:num_classes]


def map_classes(confusion: np.ndarray, row_map: Sequence[int], column_map: Sequence[int],
                num_scored: int) -> np.ndarray:
    """Join classes of a confusion matrix: the same counts as mapping every pixel before counting.

    Args:
        confusion: int64 (R, P).
        row_map: Scored id of each of the R ground truth classes; ids outside [0, num_scored) are
            not scored.
        column_map: Scored id of each of the P predicted classes; predictions that map outside [0,
            num_scored) are wrong wherever they are made.
        num_scored: Number of scored classes, K.

    Returns:
        int64 (K, K + 1); the last column holds predictions that are no scored class.
    """
    joined = np.zeros((num_scored, num_scored + 1), np.int64)
    for row, scored_row in enumerate(row_map):
        if 0 <= scored_row < num_scored:
            for column, scored_column in enumerate(column_map):
                target = scored_column if 0 <= scored_column < num_scored else num_scored
                joined[scored_row, target] += confusion[row, column]
    return joined


def scores(confusion: np.ndarray, subset: Optional[Sequence[int]] = None) -> Scores:
    """IoU, accuracy and their means.

    Args:
        confusion: int64 (C, P) with P >= C; columns from C on are predictions of no scored class.
        subset: Class ids that are scored; all by default. Rows and columns of the other classes
            stay in the matrix: a terrain pixel taken for vegetation is a false positive of
            vegetation also in the 16-class score of SYNTHIA
            (docs/behavior/daformer_hrda.md#evaluation: the mean over 16 of the 19 IoU values).

    Returns:
        :class:`Scores` in percent, not rounded.
    """
    num_classes = len(confusion)
    counts = confusion.astype(np.float64)
    hit, truth, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)[:num_classes]
    iou, acc = _percent(hit, truth + predicted - hit), _percent(hit, truth)
    chosen = np.zeros(num_classes, bool)
    chosen[list(range(num_classes)) if subset is None else list(subset)] = True
    iou[~chosen] = acc[~chosen] = np.nan
    total = _percent(hit[chosen].sum(keepdims=True), truth[chosen].sum(keepdims=True))
    return Scores(iou=iou, acc=acc, miou=nan_mean(iou), macc=nan_mean(acc), aacc=float(total[0]))


def nan_mean(values: Iterable[float]) -> float:
    """Mean of the numbers that are not nan; nan when there is none (without numpy's warning)."""
    kept = [float(v) for v in values if not math.isnan(v)]
    return sum(kept) / len(kept) if kept else float('nan')


def named_scores(result: Scores, names: Sequence[str],
                 subset: Optional[Sequence[int]] = None) -> dict[str, float]:
    """``{'mIoU', 'mAcc', 'aAcc', 'IoU.<class>' ..., 'Acc.<class>' ...}`` as python floats, scored
    classes only.
    """
    ids = range(len(names)) if subset is None else subset
    named = {'mIoU': result.miou, 'mAcc': result.macc, 'aAcc': result.aacc}
    named.update({f'IoU.{names[i]}': float(result.iou[i]) for i in ids})
    named.update({f'Acc.{names[i]}': float(result.acc[i]) for i in ids})
    return named


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """100 * part / whole, element by element; nan where ``whole`` is 0."""
    return np.divide(100.0 * part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _count_numpy(prediction: Tensor, label: Tensor, table: np.ndarray, size: int) -> np.ndarray:
    """Count the pixels of each place of the flattened matrix, (``size``,); ``table`` is that of
    :func:`_row_table`. On one core twice as fast as torch.bincount.
    """
    index = np.take(table, label.cpu().numpy())
    index += prediction.numpy()
    return np.bincount(index.ravel(), minlength=size)


def _count_torch(prediction: Tensor, label: Tensor, table: np.ndarray, size: int) -> np.ndarray:
    """As :func:`_count_numpy`, on the prediction's device."""
    rows = torch.from_numpy(table).to(prediction.device)[label.to(prediction.device).long()]
    # each pixel's place in the flat matrix, (H * W,)
    return torch.bincount((rows + prediction.long()).flatten(), minlength=size).cpu().numpy()


def _row_table(num_classes: int, num_predicted: int, ignore_index: int) -> np.ndarray:
    """Label id -> offset of its row in the flattened matrix of ``num_classes + 2`` rows, int64:
    after those of the classes there is one row for the ignored id, and one for ids that are not
    allowed. A pixel's place in the matrix is this offset plus its predicted id.
    """
    table = np.full(max(256, num_classes, ignore_index + 1), num_classes + 1, np.int64)
    table[:num_classes] = np.arange(num_classes)
    if ignore_index >= 0:
        table[ignore_index] = num_classes
    return table * num_predicted


def _check_ids(prediction: Tensor, num_predicted: int) -> None:
    """Refuse (ValueError) predicted ids outside of 0..num_predicted - 1."""
    if prediction.numel() == 0:
        return
    low, high = int(prediction.min()), int(prediction.max())
    if low < 0 or high >= num_predicted:
        raise ValueError(f'predicted ids run from {low} to {high}, but there are {num_predicted} '
                         'classes: the network and the dataset (or label_map) disagree on the '
                         'number of classes')


def _bad_label_text(label: Tensor, num_classes: int, ignore_index: int) -> str:
    """What to say of a label with ids that are neither classes nor ignored."""
    ids = [int(i) for i in torch.unique(label)]
    bad = [i for i in ids if i != ignore_index and not 0 <= i < num_classes]
    return (f'label ids {bad[:10]} are neither in 0..{num_classes - 1} nor the ignored id '
            f'{ignore_index}: convert the labels to train ids, or give the dataset the right '
            'classes')


def _size(array: Tensor) -> str:
    """The shape as text: ``512x1024``."""
    return 'x'.join(str(n) for n in array.shape)
