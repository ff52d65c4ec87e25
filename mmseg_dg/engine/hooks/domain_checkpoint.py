"""Checkpoints that resume exactly, are whole or not there, and a ``save_best`` that knows this
package's metrics.
"""
import os
import os.path as osp
import re
from collections.abc import Sequence
from typing import Any, Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmseg_dg.engine.named_loaders import NamedLoaders
from mmseg_dg.engine.training_loop import AnnouncingLoop
from mmseg_dg.evaluation.label_free import SCORES
from mmseg_dg.evaluation.metric_traits import MetricTraits
from mmseg_dg.evaluation.score_direction import less_is_better
from mmseg_dg.methods.trained_part import SAVE, check_recordable, leave_frozen_out
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.atomic_files import remove_parts, written_whole
from mmseg_dg.utils.method import method_of
from mmseg_dg.utils.plain_values import to_plain
from mmseg_dg.utils.run_lock import current_lock, hold, release
from mmseg_dg.utils.stop_signals import AgreedStop, noted, shield_workers, training_begins
from mmseg_dg.utils.work_dir import (
    newest_for_all_processes,
    on_first_process,
    refuse_to_mix,
    remove_run,
    write_pointer,
)

from .best_checkpoint import BestCheckpoints
from .resuming import finish_weights_only, follow_new_schedule, prepare_resume

#: What follows ``<domain>/`` in a metric's name: perhaps a metric's prefix, then a score.
_METRICS = re.compile(r'^([^/]+/)?(mIoU|mAcc|aAcc|PSNR|PSNR_gain|(IoU|Acc)\..+|label_free|'
                      + '|'.join(SCORES) + ')$')
#: Scores of which there is a mean over domains.
_MEANS = ('mIoU', 'label_free', *SCORES)


@HOOKS.register_module()
class DomainCheckpointHook(BestCheckpoints, CheckpointHook):
    """Saves after the validation of the same iteration, and selects by ``<domain>/<metric>``.

    mmengine writes the checkpoint of iteration k before k's validation, so the validation's scalars
    and best score are missing from it and a resumed run differs from an uninterrupted one. Here
    ``MultiStreamTrainLoop`` announces ``after_iteration`` when validation is over. With any other
    loop the hook saves when mmengine's does.

    Regular and best checkpoints are written beside their place, flushed to the disk and moved there
    in one step; what they replace is removed afterwards. They hold plain values only (no numpy, no
    classes), and names relative to the work dir. The work dir is locked while a run works in it
    (docs/reliability.md).

    Args:
        interval: Iterations between checkpoints.
        save_best: Metric(s), e.g. ``'cityscapes/mIoU'``, ``'mean/mIoU'``,
            ``'cityscapes/IoU.train'``; checked before training. ``'<domain>/label_free'`` and its
            parts need no labels. Greater is better, of ``entropy`` less.
        by_epoch: Must be False with ``MultiStreamTrainLoop``.
        save: ``'whole'``, or ``'trained'``: what a frozen encoder (``trainable='none'`` or
            ``'adapters'``) has from its weight file is left out, and the file's name and SHA-256
            are kept; whoever loads the checkpoint needs it.
        **kwargs: Of :class:`mmengine.hooks.CheckpointHook`.
    """
    # of mmengine's hook: save_best (it makes a list of one key), out_dir (the folder of the
    # checkpoints), file_backend, filename_tmpl ('iter_{}.pth'), keep_ckpt_ids (steps of the regular
    # checkpoints that are kept, oldest first), last_ckpt (path of the newest one)
    save_best: Optional[list[str]]

    def __init__(self, interval: int = -1, by_epoch: bool = False, save_best: Union[str, list[str],
                                                                                    None] = None,
                 rule: Union[str, list[str],
                             None] = None, save: str = 'whole', **kwargs: Any) -> None:
        if save_best is not None and rule is None:
            # whether less or more is better; mmengine knows it of mmseg's metrics only
            rules = [
                'less' if less_is_better(key) else 'greater'
                for key in ([save_best] if isinstance(save_best, str) else save_best)
            ]
            rule = rules[0] if len(set(rules)) == 1 else rules
        super().__init__(interval=interval, by_epoch=by_epoch, save_best=save_best, rule=rule,
                         **kwargs)
        if save not in SAVE:
            raise ValueError(f'DomainCheckpointHook: save={save!r}: use one of {SAVE}')
        self.save = save
        self._claimed: Any = None  # the work dir that this run has locked
        self._waiting_best: list[str] = []  # best checkpoints to be written after the regular one
        self._resumed = False  # whether this run goes on from a checkpoint
        self._prepared = False  # mmengine has settled folder and file backend
        # asks all processes whether one was told to stop; None before training
        self._agreed_stop: Optional[AgreedStop] = None

    # ------------------------------------------------------------------ before the first iteration
    def before_run(self, runner: Runner) -> None:
        """Lock the work dir, and settle where the run goes on, before anything is loaded.

        ``runner._resume`` and ``runner._load_from`` are mmengine's: whether to resume, and the file
        to start from. With the first and no file, the newest checkpoint of the folder is taken;
        where there is none, the run begins at iteration 0.

        Raises:
            BlockingIOError: Another run works in the folder.
            FileExistsError: It holds checkpoints, and neither ``resume`` nor ``overwrite`` is set.
            CheckpointError: A resume from a folder in which no checkpoint can be read.
        """
        # mmengine builds the train loop before this only when it trains; else it is a config
        if not isinstance(runner._train_loop, BaseLoop) or self._claimed is not None:
            return  # a test or a validation; or the same runner again
        self._claimed = runner.work_dir
        self._resumed = False
        # "and None": only process 0 has the lock, which the other processes cannot be sent
        on_first_process(lambda: hold(runner.work_dir) and None)  # all raise if it is taken
        if self._local(self._place(runner)):
            # what a kill left of files that were being written
            on_first_process(lambda: remove_parts(self._place(runner)))
            if runner._resume and runner._load_from is None:
                runner._load_from = newest_for_all_processes(
                    self._place(runner), self.filename_tmpl,
                    complete=not runner.cfg.get('resume_weights_only'))
                runner._resume = runner._load_from is not None
            elif not runner._resume and not runner.cfg.get('overwrite'):
                on_first_process(lambda: refuse_to_mix(self._place(runner), self.filename_tmpl))
        self._resumed = runner._resume  # settled above where the folder is local

    def after_run(self, runner: Runner) -> None:
        """Give the lock of the work dir back."""
        if self._claimed is not None:
            release(self._claimed)

    def _place(self, runner: Runner) -> str:
        """The folder of the checkpoints: the work dir, or ``out_dir``/<name of the work dir>."""
        # mmengine's before_train puts the name of the work dir behind out_dir
        if self.out_dir is None or self.out_dir == runner.work_dir or self._prepared:
            return self.out_dir or runner.work_dir
        return osp.join(self.out_dir, osp.basename(runner.work_dir.rstrip(osp.sep)))

    def _local(self, folder: str) -> bool:
        """Whether it is a folder of this machine, no address of an object store."""
        return '://' not in folder

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check and complete a checkpoint to resume from; others stay as they are."""
        if runner._resume and isinstance(runner._train_loop, BaseLoop):
            prepare_resume(runner, checkpoint, bool(runner.cfg.get('resume_weights_only')))

    def before_train(self, runner: Runner) -> None:
        """Check ``save_best`` around what mmengine's hook prepares; a resumed run finds its best
        checkpoint and schedules again, and from now on signals end it after a checkpoint.
        """
        if runner.cfg.get('overwrite') and not runner._resume:
            on_first_process(lambda: self._overwrite(runner))
        if self.save_best is not None and runner.val_loop is None:
            runner.logger.warning('there is no validation (val_dataloader), so '
                                  f'save_best={self.save_best} has no score to go by: only the '
                                  'newest checkpoints are kept')
            # recipes set save_best; a config derived from one may have no labels to validate on
            self.save_best = None
        super().before_train(runner)  # settles out_dir, file_backend and the best paths
        self._prepared = True
        if self.save == 'trained':
            check_recordable(method_of(runner))
        if self.save_best is not None:
            self._check_keys(runner)
            self._adopt_best(runner)
        if runner._resume and runner.cfg.get('resume_weights_only'):
            finish_weights_only(runner)
        elif runner._resume:
            follow_new_schedule(runner)
        self._agreed_stop = AgreedStop()
        # a signal to stop reaches the data loading workers too: they go on until the run ends them
        for loop in (runner.train_loop, runner.val_loop):
            shield_workers(_loaders(loop))
        training_begins()  # from here on a signal waits for the end of the iteration

    def _overwrite(self, runner: Runner) -> None:
        """``overwrite``: only now, when every check before iteration 0 has passed, the earlier
        run's files go.
        """
        gone = remove_run(self._place(runner), self.filename_tmpl)
        if gone:
            runner.logger.info(f'overwrite: removed {", ".join(gone)} from {self._place(runner)}')

    def _check_keys(self, runner: Runner) -> None:
        """Refuse keys of ``save_best`` (``<domain>/<metric>``) that are no score of this run.

        Raises:
            ValueError: A key no evaluation of this run can produce.
        """
        loaders = runner.val_loop.dataloader
        if not isinstance(loaders, NamedLoaders):
            return  # another loop, whose keys have no domain
        names = loaders.names
        for key in self.save_best or ():
            domain, _, metric = key.partition('/')
            possible = domain in (*names, 'mean') and _METRICS.match(metric)
            if not possible or (domain == 'mean' and metric not in _MEANS):
                raise ValueError(f'save_best={key!r} is not a metric of this run: use '
                                 '<domain>/mIoU, <domain>/aAcc, <domain>/IoU.<class>, '
                                 f'<domain>/label_free with a domain of {names}, or mean/mIoU')
            check_scores(runner.val_loop.evaluator, key)
            classes = scored_classes(runner.val_loop.evaluator, domain)
            of_class = metric.partition('.')[2]  # 'train' of 'IoU.train'; empty for other scores
            if of_class and classes and of_class not in classes:
                raise ValueError(f'save_best={key!r} is not a metric of this run: {domain} scores '
                                 f'{sorted(classes)}')

    # ------------------------------------------------------------------ when to save
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Save as mmengine's hook, but only in loops that do not call :meth:`after_iteration`."""
        if not isinstance(runner.train_loop, AnnouncingLoop):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Note the best scores, as mmengine's hook does; ValueError where ``save_best`` names none
        of ``metrics``.
        """
        if not self._prepared:
            return  # a validation without training: nothing is saved
        wanted: Sequence[str] = self.save_best or ()
        missing = [key for key in wanted if metrics and key not in metrics]
        if missing:
            raise ValueError(f'save_best={missing} is not among the metrics '
                             f'{sorted(metrics or ())[:20]}')
        super().after_val_epoch(runner, metrics)

    def after_iteration(self, runner: Runner) -> None:
        """Save where a checkpoint is due or the run was asked to stop, which it then does. The loop
        calls it after step and validation of an iteration, which ``runner.iter`` counts already.
        """
        done, stop = runner.iter, self._stops(runner.iter - 1)  # the iteration that ends: 0-based
        if self._due(runner, done) or stop or self._first_best_waits():
            if stop and not self._due(runner, done):
                runner.logger.info(f'asked to stop ({noted() or "another process was signaled"})')
            runner.logger.info(f'Saving checkpoint at {done} iterations')
            self._save_checkpoint_with_step(runner, done, meta=dict(epoch=runner.epoch, iter=done))
            self._write_waiting_best(runner)
        if stop and done < runner.max_iters:
            runner.train_loop.stop_training = True
            # the command line reads it: the run ends with another exit status then
            runner.stopped_by = noted() or 'a signal to another process'

    def will_save(self, runner: Runner) -> bool:
        """Whether the iteration that is about to end, ``runner.iter`` (0-based), writes a
        checkpoint.
        """
        return self._due(runner, runner.iter + 1) or self._stops(runner.iter)

    def _stops(self, iteration: int) -> bool:
        """Whether all processes stop after this iteration (0-based), as one of them was signaled;
        the answer within an iteration is always the same.
        """
        return self._agreed_stop is not None and self._agreed_stop(iteration)

    def _due(self, runner: Runner, done: int) -> bool:
        """Whether a regular checkpoint is due after ``done`` iterations, by mmengine's arguments
        ``interval``, ``save_begin`` and ``save_last``.
        """
        due = self.interval > 0 and done >= self.save_begin and (
            done - self.save_begin) % self.interval == 0
        return due or (self.save_last and done >= runner.max_iters)

    # ------------------------------------------------------------------ how to save
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Last of all hooks (``VERY_LOW``): what they added becomes plain values, what is frozen
        may go.
        """
        if self.save == 'trained':
            leave_frozen_out(method_of(runner), checkpoint['state_dict'])
        to_plain(checkpoint)

    def _save_checkpoint_with_step(self, runner: Runner, step: Any, meta: Any) -> None:
        """Write the new checkpoint beside the old ones, put it in place in one move, then drop the
        oldest.

        mmengine deletes first and writes in place: a kill in between leaves nothing to resume from.

        Args:
            runner: The runner.
            step: Iterations done, which the file name has.
            meta: Entries for ``meta`` of the checkpoint.
        """
        outdated = []  # steps of the checkpoints that max_keep_ckpts leaves no room for
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', name)
        self._write(runner, name, save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler, meta=meta,
                    by_epoch=self.by_epoch, **self.args)
        if not is_main_process():
            return
        write_pointer(runner.work_dir, self.last_ckpt)
        for old in outdated:
            self._remove(self.filename_tmpl.format(old))
        self._forget_outdated_best()

    def _write(self, runner: Runner, name: str, **options: Any) -> None:
        """Write one checkpoint, whole or not at all.

        Args:
            runner: The runner.
            name: File name, without folder.
            **options: Of ``runner.save_checkpoint``.

        Raises:
            OSError: It cannot be written; the message says what is still there.
            BlockingIOError: Another run has taken the work dir.
        """
        options.update(file_client_args=self.file_client_args, backend_args=self.backend_args)
        # other processes write no file there, and an object store has no half-written files
        if not is_main_process() or not isinstance(self.file_backend, LocalBackend):
            runner.save_checkpoint(self.out_dir, name, **options)
            return
        lock = current_lock(runner.work_dir)
        if lock is not None:
            lock.check()  # raises if another run took the folder
        os.makedirs(self.out_dir, exist_ok=True)
        with written_whole(osp.join(self.out_dir, name)) as part:
            runner.save_checkpoint(str(part.parent), part.name, **options)

    def _remove(self, name: str) -> None:
        """Remove a checkpoint, if it is there, by its file name."""
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)


def _loaders(loop: Any) -> list[DataLoader]:
    """The dataloaders of a loop, which has several by name, or one; empty for None (no loop)."""
    if loop is None:
        return []
    loaders = loop.dataloader
    return list(loaders.loaders.values()) if isinstance(loaders, NamedLoaders) else [loaders]


def check_scores(evaluators: Any, key: str) -> None:
    """Refuse a ``save_best`` that the domain's metrics do not compute: a domain without labels has
    no mIoU, and one without :class:`LabelFreeMetric` no label-free score.

    Args:
        evaluators: ``{domain: evaluator}``, a ``DomainEvaluators``.
        key: ``<domain>/<metric>``, or ``mean/<metric>``, which any domain's metric may compute.

    Raises:
        ValueError: A label-free score that none of the domain's metrics names, or a score against
            labels where all metrics are label-free.
    """
    domain, _, name = key.partition('/')
    metrics = evaluators.metrics if domain == 'mean' else evaluators[domain].metrics
    # metrics without labels, which alone list the names of their scores
    label_free = [metric for metric in metrics if MetricTraits(metric).score_names is not None]
    scores = [
        f'{metric.prefix}/{score}' if metric.prefix else score for metric in label_free
        for score in metric.score_names
    ]
    if name.split('/')[-1] in ('label_free', *SCORES):
        if name not in scores:
            hint = (f'{domain} scores {scores}'
                    if scores else f"give {domain} a dict(type='LabelFreeMetric')")
            raise ValueError(f'save_best={key!r} is not a metric of this run: {hint}')
    elif metrics and len(label_free) == len(metrics):  # the key is of a score against labels
        raise ValueError(f'save_best={key!r} needs labels, and {domain} is evaluated without: '
                         f'choose one of {[f"{domain}/{score}" for score in scores]}')


def scored_classes(evaluators: Any, domain: str) -> set:
    """Names of the classes a domain is scored on; empty where its metrics do not say."""
    if domain == 'mean':
        return set()  # no class has a mean over domains, see _MEANS
    names: set[str] = set()
    for metric in evaluators[domain].metrics:
        scored = MetricTraits(metric).scored_names
        if scored is None:
            return set()
        subset = metric.subset()  # indices of the classes in the means; None: all
        names.update(scored if subset is None else [scored[i] for i in subset])
    return names
