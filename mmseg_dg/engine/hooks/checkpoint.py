"""Checkpoints that resume exactly, and a ``save_best`` that knows the metrics of this package."""
import os
import os.path as osp
import re
from typing import Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from mmseg_dg.registry import HOOKS

#: What follows the domain in a metric's name.
_METRICS = re.compile(r'^([^/]+/)?(mIoU|mAcc|aAcc|PSNR|PSNR_gain|(IoU|Acc)\..+)$')


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
            classes = scored_classes(runner.val_loop.evaluator, domain)
            scored = metric.partition('.')[2]
            if scored and classes and scored not in classes:
                raise ValueError(f'save_best={key!r} is not a metric of this run: {domain} scores {sorted(classes)}')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if not getattr(runner.train_loop, 'announces_iterations', False):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner, metrics=None) -> None:
        if not hasattr(self, 'file_backend'):
            return  # a validation without training: nothing is saved
        missing = [key for key in self.save_best or () if metrics and key not in metrics]
        if missing:
            raise ValueError(f'save_best={missing} is not among the metrics {sorted(metrics)[:20]}')
        self._validating = True  # the best score is saved with the regular checkpoint, not in an extra one
        try:
            super().after_val_epoch(runner, metrics)
        finally:
            self._validating = False

    def after_iteration(self, runner) -> None:
        """Called by the loop when step and validation of an iteration are done (``runner.iter`` counts it already)."""
        done = runner.iter
        if self._due(runner, done):
            runner.logger.info(f'Saving checkpoint at {done} iterations')
            self._save_checkpoint_with_step(runner, done, meta=dict(epoch=runner.epoch, iter=done))

    def will_save(self, runner) -> bool:
        """Whether the iteration that is about to end writes a checkpoint."""
        return self._due(runner, runner.iter + 1)

    def _due(self, runner, done: int) -> bool:
        due = self.interval > 0 and done >= self.save_begin and (done - self.save_begin) % self.interval == 0
        return due or (self.save_last and done >= runner.max_iters)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        """Write the new checkpoint beside the old ones, put it in place in one move, then drop the oldest.

        mmengine deletes first and writes in place: a kill in between leaves nothing to resume from.
        """
        if self._validating:
            return
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        local = isinstance(self.file_backend, LocalBackend)
        runner.save_checkpoint(
            self.out_dir, f'{name}.part' if local else name, self.file_client_args,
            save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler, meta=meta,
            by_epoch=self.by_epoch, backend_args=self.backend_args, **self.args)
        if not is_main_process():
            return
        if local:
            os.replace(f'{self.last_ckpt}.part', self.last_ckpt)
        pointer = osp.join(runner.work_dir, 'last_checkpoint')
        with open(f'{pointer}.part', 'w', encoding='utf-8') as file:
            file.write(self.last_ckpt)
        os.replace(f'{pointer}.part', pointer)
        for old in outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)


def scored_classes(evaluators, domain: str) -> set:
    """Names of the classes a domain is scored on; empty where its metrics do not say."""
    if domain == 'mean':
        return set()
    names = set()
    for metric in evaluators[domain].metrics:
        scored = getattr(metric, 'scored_names', None)
        if scored is None:
            return set()
        subset = metric.subset()
        names.update(scored if subset is None else [scored[i] for i in subset])
    return names
