"""An evaluator of confidence: calibration, risk and coverage, confidence maps.

Shapes: C classes, H x W pixels.
"""
import csv
import os
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from PIL import Image
from torch import Tensor

from mmseg_dg.ops.precision import at_least_float32
from mmseg_dg.registry import METRICS
from mmseg_dg.utils.rounding import ceil_div

from .calibration import (
    Histogram,
    RiskCoverage,
    calibration_scores,
    confidence_histogram,
    risk_coverage,
)
from .class_maps import LabelMap, resolve_label_map
from .label_free_metric import two_channels


@METRICS.register_module()
class CalibrationMetric(BaseMetric):
    """How far the probability of the predicted class can be trusted, on a domain with labels.

    In percent: ``ECE`` (15 equal bins), ``confidence`` and ``accuracy`` (their means over pixels;
    the sign of their difference says whether the network is too sure), ``AURC`` and ``risk.90``,
    ``risk.50`` (errors among the 90 and 50 % of pixels the network is most sure of).
    :mod:`mmseg_dg.evaluation.calibration` has the definitions.

    Args:
        bins: Of the calibration error.
        fine: Each of them is divided into so many for risk and coverage.
        label_map: As :class:`ConfusionMatrixMetric`: scored id per class; a prediction is right
            where the scored ids are equal. The confidence stays that of the predicted class.
        ignore_index: Label id of pixels that do not count.
        output_dir: Folder for ``confidence/NAME.png`` (probability of the predicted class, 0..255),
            ``reliability.csv`` and ``risk_coverage.csv``; a folder per domain in it where there are
            several. None: nothing is written.
        coverages: Shares of pixels whose risk is reported, in (0, 1].
        prefix: Put before every key.
        collect_device: Kept for mmengine's interface.

    Attributes:
        histogram, curve: Of the last ``evaluate``, all processes.
    """

    # what the evaluation loops ask by :class:`MetricTraits`
    needs_labels = True
    saves_ids = False  # what it writes into ``output_dir`` are no class ids

    def __init__(self, bins: int = 15, fine: int = 64, label_map: Optional[LabelMap] = None,
                 ignore_index: int = 255, output_dir: Optional[str] = None,
                 coverages: Sequence[float] = (0.9, 0.5), prefix: Optional[str] = None,
                 collect_device: str = 'cpu') -> None:
        # None makes mmengine warn
        super().__init__(collect_device=collect_device, prefix=prefix or 'unset')
        self.prefix = prefix
        if bins < 1 or fine < 1 or not all(0 < c <= 1 for c in coverages):
            raise ValueError(
                'CalibrationMetric: bins and fine of at least 1 and coverages in (0, 1] are '
                f'needed, got {bins}, {fine}, {list(coverages)}')
        self.bins, self.fine = bins, fine
        self.label_map, self.ignore_index = label_map, ignore_index
        self.output_dir, self.coverages = output_dir, tuple(coverages)
        # image path -> name of its files without ending; the evaluation loops set it
        self.image_names: dict[str, str] = {}
        # of the last evaluation, for reports
        self.histogram: Optional[Histogram] = None
        self.curve: Optional[RiskCoverage] = None
        self._reset()

    def _reset(self) -> None:
        """Forget the images of this evaluation: their sum, the last one and their number."""
        empty = np.zeros(self.bins * self.fine)
        self._sum = self._last = Histogram(empty, empty, empty)
        self._count = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count a batch, and write its confidence maps where asked.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``seg_logits.data`` (C, H, W), ``gt_sem_seg.data`` (1, H, W)
                and ``img_path``.

        Raises:
            ValueError: A sample without logits or labels, or of differing sizes; the message names
                the file.
        """
        for sample in data_samples:
            path = str(sample.get('img_path') or 'a sample without img_path')
            missing = [key for key in ('seg_logits', 'gt_sem_seg') if key not in sample]
            if missing:
                raise ValueError(
                    f'{path} has no {" and no ".join(missing)}: CalibrationMetric needs logits and '
                    "labels; dict(type='LabelFreeMetric') needs no labels")
            logits, label = _data(sample['seg_logits']), _data(sample['gt_sem_seg'])[0]
            p = at_least_float32(two_channels(logits)).softmax(0)  # (C, H, W)
            confidence, ids = p.max(0)  # (H, W) each
            if label.shape != ids.shape:
                raise ValueError(
                    f'{path}: the prediction is {tuple(ids.shape)}, the label {tuple(label.shape)}')
            valid, correct = self._compare(ids, label.to(ids.device).long(), len(p), path)
            # kept because a process may judge one image too many: evaluate() takes it off again
            self._last = confidence_histogram(confidence[valid], correct[valid],
                                              self.bins * self.fine)
            self._sum, self._count = self._sum + self._last, self._count + 1
            if self.output_dir is not None:
                self._save(confidence, path)

    def _compare(self, ids: Tensor, label: Tensor, classes: int,
                 path: str) -> tuple[Tensor, Tensor]:
        """Pixels that count and pixels that are right, bool (H, W) each, after the map of classes
        if there is one; ValueError, with the image's ``path``, for ids that are no class.
        """
        valid = label != self.ignore_index
        if bool((valid & ((label < 0) | (label >= classes))).any()):
            raise ValueError(
                f'{path}: label ids outside 0..{classes - 1} that are not {self.ignore_index}')
        if self.label_map is None:
            return valid, ids == label
        names = (self.dataset_meta or {}).get('classes') or [str(i) for i in range(classes)]
        # scored ids may be any below ignore_index: how many there are does not matter here
        table = torch.as_tensor(
            resolve_label_map(self.label_map, names, self.ignore_index, self.ignore_index),
            device=ids.device)
        truth = table[label.clamp(max=classes - 1)]  # ignored pixels: any class, they do not count
        return valid & (truth != self.ignore_index), table[ids] == truth

    def _save(self, confidence: Tensor, path: str) -> None:
        """Write a confidence map (H, W) in [0, 1] as PNG, 255 for 1."""
        name = self.image_names.get(path) or os.path.splitext(os.path.basename(path))[0]
        target = os.path.join(str(self.output_dir), 'confidence', name + '.png')
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Image.fromarray(np.rint(confidence.cpu().numpy() * 255).astype(np.uint8)).save(target)

    def evaluate(self, size: int) -> dict[str, float]:
        """Sum over the processes and score.

        Args:
            size: Number of images of the dataset, without the sampler's padding.

        Raises:
            ValueError: A process judged more images than padding explains.
        """
        rank, world_size = get_dist_info()
        # where the images do not divide evenly, the sampler gives some processes one image twice
        surplus = self._count - max(0, ceil_div(size - rank, world_size))
        if surplus > 1:
            raise ValueError(
                f'process {rank} of {world_size} judged {self._count} images of a dataset of '
                f'{size}: '
                "evaluate with sampler=dict(type='DefaultSampler', shuffle=False)")
        own_sum = self._sum - self._last if surplus == 1 else self._sum  # _last: of the last image
        total = torch.from_numpy(np.stack(own_sum))  # (3, bins)
        all_reduce(total)
        self._reset()
        histogram = Histogram(*total.numpy())
        self.histogram, self.curve = histogram, risk_coverage(histogram)
        if self.output_dir is not None and is_main_process():
            self._write(histogram, self.curve)
        found = calibration_scores(histogram, self.bins, self.coverages, self.curve)
        return {f'{self.prefix}/{k}': v for k, v in found.items()} if self.prefix else found

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores of the sum of histograms."""
        return calibration_scores(sum(results[1:], results[0]), self.bins, self.coverages)

    def _write(self, histogram: Histogram, curve: RiskCoverage) -> None:
        """Write the numbers of the reliability diagram and of the risk-coverage curve as CSV;
        shares in 0..1.
        """
        os.makedirs(str(self.output_dir), exist_ok=True)
        # (bins * n,) -> (bins, n) -> (bins,)
        count, correct, confidence = (part.reshape(self.bins, -1).sum(1) for part in histogram)
        rows = [[
            i / self.bins, (i + 1) / self.bins,
            int(n), c / n if n else '', s / n if n else ''
        ] for i, (n, c, s) in enumerate(zip(count, correct, confidence))]
        _table(os.path.join(str(self.output_dir), 'reliability.csv'),
               ['above', 'up_to', 'pixels', 'accuracy', 'confidence'], rows)
        _table(os.path.join(str(self.output_dir), 'risk_coverage.csv'),
               ['confidence_above', 'coverage', 'risk'],
               list(zip(curve.threshold, curve.coverage, curve.risk)))


def _table(path: str, header: list, rows: list) -> None:
    """Write a CSV file."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([header, *rows])


def _data(data: Any) -> Tensor:
    """The tensor of a pixel map, given as PixelData or as its dict."""
    return data['data'] if isinstance(data, dict) else data.data
