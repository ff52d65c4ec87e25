"""What pseudo-labels consist of during training, and pictures of the scores of rare and frequent
classes.

Shapes: B images, K classes, H x W pixels.
"""
import csv
import logging
import os
import os.path as osp
from typing import Any, Optional

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from mmseg_dg.engine.training_loop import state_is_due
from mmseg_dg.evaluation.bias import domain_bias
from mmseg_dg.methods.base import BaseMethod
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import iteration_of, method_of
from mmseg_dg.visualization.bias_pictures import class_iou_chart, class_share_chart

#: Under this name the message hub, and so a checkpoint, holds counts and rows.
KEPT = 'pseudo_label_statistics'
#: Under this name the hook asks for records of steps.
READER = 'PseudoLabelStatisticsHook'


@HOOKS.register_module()
class PseudoLabelStatisticsHook(Hook):
    """Class histogram and entropy of the pseudo-labels that are learned from.

    Every ``interval`` iterations it reads ``pseudo_label`` (B, H, W) and ``pseudo_weight`` (B, H,
    W) that the method (DACS, FixMatch, UniMatch, DiffMatch) leaves in its step record; pixels of
    weight 0 do not count. Every ``window`` iterations the counts of all processes are summed: the
    scalars ``train/pseudo_entropy`` (nats, of the class histogram; log(classes) is uniform) and
    ``train/pseudo_weight`` (mean weight, without padding where the method says what that is), and a
    row of ``pseudo_labels.csv`` in the run's log folder with the share of every class. After
    training a chart goes to the visualizer. Counts of a window that is not over and the rows so far
    are part of every checkpoint, so that a resumed run writes the same numbers. A step that was
    left out is not counted.

    Args:
        interval: Iterations from one look to the next.
        window: Iterations summed for one row.

    Raises:
        ValueError: Numbers below 1, or a window shorter than the interval.
    """
    def __init__(self, interval: int = 10, window: int = 100) -> None:
        if interval < 1 or window < interval:
            raise ValueError(f'interval is at least 1 and window at least interval, got {interval} '
                             f'and {window}')
        self.interval, self.window = interval, window
        # of this process since the last row, as pseudo_label_counts gives them; None: none yet
        self._counts: Optional[Tensor] = None
        self.rows: list[list[float]] = []  # as histogram_row gives them

    def before_train(self, runner: Runner) -> None:
        """Begin to count, or go on with what a resumed checkpoint holds.

        Raises:
            ValueError: The training data does not name its classes.
        """
        self._classes = list(runner.train_dataloader.dataset.metainfo.get('classes') or ())
        if not self._classes:
            raise ValueError('PseudoLabelStatisticsHook needs class names: give the labeled '
                             'dataset its classes')
        self._counts, self.rows = None, []
        kept = runner.message_hub.runtime_info.get(KEPT)
        if kept and runner.iter:
            self.rows = [list(row) for row in kept['rows']]
            # the counts are those of all processes together: one process takes them over, as the
            # next row is a sum over processes; the others have zeros, since all must take part
            if kept['counts'] is not None:
                counts = torch.tensor(kept['counts'], dtype=torch.float64, device=get_device())
                self._counts = counts if is_main_process() else torch.zeros_like(counts)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Ask for a record of a step that is due."""
        if runner.iter % self.interval == 0:
            method_of(runner).recorder.request(READER)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Optional[dict] = None) -> None:
        """Count the step's pseudo-labels every ``interval`` iterations; write a row every
        ``window``.
        """
        if runner.iter % self.interval == 0:
            method = method_of(runner)
            self._count(method)
            # the recorder drops the record when its last reader has released it
            method.recorder.release(READER)
        done = runner.iter + 1  # mmengine counts the iteration after this hook
        if self._counts is not None and (done % self.window == 0 or done == runner.max_iters):
            self._sum_up(runner, done)
        if state_is_due(runner.train_loop):
            self._keep(runner)

    def _keep(self, runner: Runner) -> None:
        """Leave counts and rows where mmengine's checkpoints take them from: in the message hub,
        ``dict(counts=list of all processes' sums or None, rows=...)``.
        """
        # classes, then the number of valid pixels and the sum of weights (pseudo_label_counts)
        counts = torch.zeros(len(self._classes) + 2, dtype=torch.float64, device=get_device())
        # another process may have some
        counts = counts if self._counts is None else self._counts.to(counts)
        counts = counts.clone()
        all_reduce(counts)
        runner.message_hub.update_info(
            KEPT,
            dict(counts=counts.tolist() if bool(counts.any()) else None,
                 rows=[list(map(float, row)) for row in self.rows]))

    def after_train(self, runner: Runner) -> None:
        """Draw the share of each class over the training."""
        if not self.rows or not is_main_process() or runner.visualizer is None:
            return
        rows = np.asarray(self.rows, np.float64)  # columns as histogram_row: 3 entropy, 4 on shares
        palette = runner.train_dataloader.dataset.metainfo.get('palette')
        chart = class_share_chart(rows[:, 0].astype(int).tolist(), rows[:, 4:], rows[:, 3].tolist(),
                                  self._classes, palette, 'pseudo-labels that are learned from')
        runner.visualizer.add_image('pseudo_labels', chart, step=runner.iter)

    def _count(self, method: BaseMethod) -> None:
        """Add the pseudo-labels of the last step to the counts. A method that leaves none is
        reported once, and not asked again.
        """
        record = method.recorder.record
        if record is None:
            return  # the step was not finite and left out
        state = record.state
        if state.pseudo_label is None or state.pseudo_weight is None:
            print_log(
                f'PseudoLabelStatisticsHook: {type(method).__name__} leaves no pseudo_label '
                'and pseudo_weight in its step record; nothing is counted', logger='current',
                level=logging.WARNING)
            self.interval = 2**62  # beyond any run: warn once, and count no more
            return
        # where images are not padding, (B, H, W), of methods that tell it
        valid = None if state.own_pseudo is None else state.own_pseudo.valid
        counts = pseudo_label_counts(state.pseudo_label, state.pseudo_weight, len(self._classes),
                                     valid)
        self._counts = counts if self._counts is None else self._counts + counts

    def _sum_up(self, runner: Runner, iteration: int) -> None:
        """Log the counts of all processes since the last row, write the row, begin anew.

        Args:
            runner: The runner.
            iteration: Iterations done, for the row.
        """
        assert self._counts is not None  # the caller has looked
        counts = self._counts.clone()
        self._counts = None
        all_reduce(counts)
        row = histogram_row(iteration, counts.cpu().numpy(), len(self._classes))
        self.rows.append(row)
        # columns of histogram_row: 2 mean weight, 3 entropy
        runner.message_hub.update_scalar('train/pseudo_entropy', row[3])
        runner.message_hub.update_scalar('train/pseudo_weight', row[2])
        if is_main_process():
            self._write(osp.join(runner.log_dir, 'pseudo_labels.csv'), row)

    def _write(self, path: str, row: list[float]) -> None:
        """Append a row to the CSV file; a new file gets its header."""
        new = not osp.isfile(path)
        os.makedirs(osp.dirname(path), exist_ok=True)
        with open(path, 'a', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(['iteration', 'pixels', 'mean_weight', 'entropy', *self._classes])
            writer.writerow(row)


def pseudo_label_counts(labels: Tensor, weight: Tensor, num_classes: int,
                        valid: Optional[Tensor] = None) -> Tensor:
    """Pixels per class among those with a weight above 0, then the number of valid pixels and the
    sum of weights.

    Args:
        labels: Integer (B, H, W).
        weight: (B, H, W) >= 0.
        num_classes: K; other labels (255) do not count.
        valid: False on padding, bool (B, H, W); None: all pixels are valid.

    Returns:
        float64 (K + 2,), on the device of ``labels``.
    """
    counted = (weight > 0) & (labels >= 0) & (labels < num_classes)
    ids = torch.where(counted, labels, torch.full_like(labels, num_classes))
    # (B, H, W) -> (K,); the last bin, that of what does not count, is cut off
    counts = torch.bincount(ids.flatten(), minlength=num_classes + 1)[:num_classes].double()
    # (1,), to be joined to the counts
    pixels = (torch.ones_like(counted) if valid is None else valid).sum().reshape(1).to(counts)
    # (K,), (1,), (1,) -> (K + 2,)
    return torch.cat([counts, pixels, weight.double().sum().reshape(1).to(counts)])


def histogram_row(iteration: int, counts: np.ndarray, num_classes: int) -> list[float]:
    """``[iteration, pixels learned from, mean weight, entropy in nats, share of each class]``.

    Args:
        iteration: First entry.
        counts: As :func:`pseudo_label_counts` gives them.
        num_classes: K.
    """
    classes, pixels, weight = counts[:num_classes], counts[num_classes], counts[num_classes + 1]
    total = classes.sum()
    shares = classes / total if total else np.full(num_classes, np.nan)
    present = shares[shares > 0]
    entropy = float(-(present * np.log(present)).sum()) if total else float('nan')
    return [iteration, int(total), float(weight / max(pixels, 1)), entropy, *map(float, shares)]


@HOOKS.register_module()
class ClassBiasPicturesHook(Hook):
    """After each evaluation, a chart of IoU by class in the order of frequency, one per domain
    scored by ``ClassBiasMetric``; they are called ``class_bias_<domain>``."""
    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        self._draw(runner, metrics)

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        self._draw(runner, metrics)

    def _draw(self, runner: Runner, metrics: Optional[dict]) -> None:
        """Chart of each class's share and IoU for the visualizer, per domain.

        Args:
            runner: The runner.
            metrics: All scores of the evaluation, by ``<domain>/<key>``; domains without
                ``Share.<class>`` among their keys are left out.
        """
        if not is_main_process() or runner.visualizer is None:
            return
        for domain, (classes, shares, iou) in domain_bias(metrics or {}).items():
            if len(classes) >= 3:  # of fewer there are no rare and frequent ones to compare
                done = iteration_of(runner)  # runner.iter would build the training loop in a test
                chart = class_iou_chart({'IoU': iou}, shares, classes,
                                        f'{domain}, iteration {done}')
                runner.visualizer.add_image(f'class_bias_{domain.replace("/", "_")}', chart,
                                            step=done)
