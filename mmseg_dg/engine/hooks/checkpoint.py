"""Checkpoints that resume exactly, and a ``save_best`` that knows the metrics of this package."""
import re
from typing import Optional, Union

from mmengine.hooks import CheckpointHook

from mmseg_dg.registry import HOOKS

#: What follows the domain in a metric's name.
_METRICS = re.compile(r'^([^/]+/)?(mIoU|mAcc|aAcc|(IoU|Acc)\..+)$')


@HOOKS.register_module()
class DomainCheckpointHook(CheckpointHook):
    """Saves after the validation of the same iteration, and selects by ``<domain>/<metric>``.

    mmengine writes the checkpoint of iteration k before k's validation, so the validation's scalars and best score are
    missing from it and a resumed run differs from an uninterrupted one. Here ``MultiStreamTrainLoop`` announces
    ``after_iteration`` when validation is over. With any other loop the hook behaves as mmengine's.

    Args:
        interval: Iterations between checkpoints.
        save_best: Metric(s), e.g. ``'cityscapes/mIoU'``, ``'mean/mIoU'``, ``'cityscapes/IoU.train'``; checked before
            training. Greater is better.
        by_epoch: Must be False with ``MultiStreamTrainLoop``.
        **kwargs: Of :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(self, interval: int = -1, by_epoch: bool = False,
                 save_best: Union[str, list[str], None] = None, rule: Optional[str] = None, **kwargs) -> None:
        if save_best is not None and rule is None:
            rule = 'greater'
        super().__init__(interval=interval, by_epoch=by_epoch, save_best=save_best, rule=rule, **kwargs)
        self._validating = False

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if self.save_best is not None:
            self._check_keys(runner)

    def _check_keys(self, runner) -> None:
        """
        Raises:
            ValueError: A key no evaluation of this run can produce.
        """
        if runner.val_loop is None:
            raise ValueError(f'save_best={self.save_best} needs val_dataloader, val_cfg and val_evaluator')
        names = tuple(getattr(runner.val_loop.dataloader, 'names', ()))
        if not names:
            return
        for key in self.save_best:
            domain, _, metric = key.partition('/')
            if domain not in (*names, 'mean') or not _METRICS.match(metric) or (domain == 'mean' and metric != 'mIoU'):
                raise ValueError(f'save_best={key!r} is not a metric of this run: use <domain>/mIoU, <domain>/aAcc, '
                                 f'<domain>/IoU.<class> with a domain of {names}, or mean/mIoU')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if not getattr(runner.train_loop, 'announces_iterations', False):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner, metrics=None) -> None:
        if not hasattr(self, 'file_backend'):
            return  # a validation without training: nothing is saved
        self._validating = True  # the best score is saved with the regular checkpoint, not in an extra one
        try:
            if self.save_best is not None or not metrics:
                missing = [k for k in self.save_best or () if metrics and k not in metrics]
                if missing:
                    raise ValueError(f'save_best={missing} is not among the metrics {sorted(metrics)[:20]}')
            super().after_val_epoch(runner, metrics)
        finally:
            self._validating = False

    def after_iteration(self, runner) -> None:
        """Called by the loop when step and validation of an iteration are done (``runner.iter`` counts it already)."""
        done, last = runner.iter, runner.iter >= runner.max_iters
        due = self.interval > 0 and done >= self.save_begin and (done - self.save_begin) % self.interval == 0
        if due or (self.save_last and last):
            runner.logger.info(f'Saving checkpoint at {done} iterations')
            self._save_checkpoint_with_step(runner, done, meta=dict(epoch=runner.epoch, iter=done))

    def will_save(self, runner) -> bool:
        """Whether the iteration that is about to end writes a checkpoint."""
        done = runner.iter + 1
        due = self.interval > 0 and done >= self.save_begin and (done - self.save_begin) % self.interval == 0
        return due or done >= runner.max_iters

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        if not self._validating:
            super()._save_checkpoint_with_step(runner, step, meta)
