"""The part of the checkpoint hook that keeps the best checkpoint."""
import os
import os.path as osp
import re
import shutil
from typing import Any, Optional

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from mmseg_dg.engine.training_loop import AnnouncingLoop
from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.utils.work_dir import on_first_process


class BestCheckpoints(CheckpointHook):
    """Best checkpoints that neither a kill nor a full disk loses; a mixin of
    :class:`DomainCheckpointHook`.

    A new best checkpoint is whole and in place before the one it replaces goes; and that one goes
    only when a regular checkpoint on the disk names the new one: a run that goes on from an older
    regular checkpoint finds the best one which that names. The very first best checkpoint follows
    the first regular one, so that a kill between them leaves something to go on from; a resume
    writes it again from there. Names are relative to the folder of the checkpoints; nothing outside
    of it is ever removed.

    A score is named as in ``save_best`` (``mean/mIoU``) and called ``indicator``. mmengine's hook
    keeps the list of them in ``key_indicators``, the folder of the checkpoints in ``out_dir``, the
    newest regular checkpoint of this process in ``last_ckpt``, and the best ones in
    ``best_ckpt_path`` or ``best_ckpt_path_dict``. ``_write``, ``_remove`` and ``_resumed`` are
    those of :class:`DomainCheckpointHook`.
    """
    #: Best checkpoints that wait for the first regular one.
    _waiting_best: list[str]
    #: Best checkpoints replaced since the last regular checkpoint, which still names them.
    _outdated_best: list[str]
    #: Score -> best checkpoint, as the newest regular checkpoint names them.
    _saved_best: dict[str, Optional[str]]

    def _hub_keys(self, indicator: str) -> tuple[str, str]:
        """Keys of mmengine's message hub: ``(of the best score, of the name of its file)``."""
        end = '' if len(self.key_indicators) == 1 else f'_{indicator}'
        return f'best_score{end}', f'best_ckpt{end}'

    def _best(self, indicator: str) -> Optional[str]:
        """File name, without folder, of the present best checkpoint by a score; None without one.
        """
        path = self.best_ckpt_path if len(
            self.key_indicators) == 1 else self.best_ckpt_path_dict.get(indicator)
        return osp.basename(path) if path else None

    def _set_best(self, runner: Any, indicator: str, name: Optional[str]) -> None:
        """Note the best checkpoint ``name`` (None: there is none) of a score, ``indicator``, where
        mmengine looks for it.
        """
        path = None if name is None else self.file_backend.join_path(self.out_dir, name)
        # mmengine keeps the best path of one score in one field, those of several in a dict
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[indicator] = path
        if name is not None:
            runner.message_hub.update_info(self._hub_keys(indicator)[1], name)

    def _adopt_best(self, runner: Any) -> None:
        """After a resume: see to it that the best checkpoint lies in this folder.

        One that lies beside the checkpoint the run goes on from (``--resume FILE`` with another
        work dir) is copied. Where it is lost, its score is forgotten, so that the next validation
        leaves a best checkpoint again.
        """
        self._outdated_best: list[str] = []  # to be removed after the next regular checkpoint
        # what the newest regular checkpoint names as best, by score
        self._saved_best = {}
        for indicator in self.key_indicators:
            score_key, path_key = self._hub_keys(indicator)
            info = runner.message_hub.runtime_info  # restored from the resumed checkpoint
            recorded = info.get(path_key)
            # the file name alone: earlier versions recorded a whole path, perhaps one of Windows
            name = str(recorded).replace('\\', '/').rpartition('/')[2] if recorded else None
            self._set_best(runner, indicator, name)
            if name and name == self._best_name(runner, indicator) and not on_first_process(
                    lambda name=name: self._is_here(runner, name)):
                # best of the very iteration the run resumes at: it was killed before it wrote this
                # checkpoint, and the weights it has now are those
                self._write_best(runner, name)
            if name and not on_first_process(lambda name=name: self._is_here(runner, name)):
                runner.logger.warning(
                    f'the best checkpoint {name} ({indicator} {info.get(score_key)}) is not in '
                    f'{self.out_dir} any more: its score is forgotten, and the next validation '
                    'leaves a best checkpoint')
                # pop_info leaves the key among those that checkpoints keep
                for key in (score_key, path_key):
                    runner.message_hub.pop_info(key)
                    runner.message_hub._resumed_keys.pop(key, None)
                name = None
            self._set_best(runner, indicator, name)
            if name:
                self._saved_best[indicator] = name
                on_first_process(lambda i=indicator, n=name: self._forget_left_over(runner, i, n))

    def _forget_left_over(self, runner: Any, indicator: str, name: str) -> None:
        """Let go of best checkpoints that nobody names, which a kill between a checkpoint and the
        removal of what it replaces has left.

        Earlier ones than ``name`` go at once, as the checkpoint that the run goes on from names
        their successor; later ones, of iterations that are trained again, when a regular checkpoint
        is written. Both only where the run goes on from a checkpoint of this folder.
        """
        # mmengine's runner: ``_resume`` whether it resumes, ``_load_from`` the file it starts from
        if not runner._resume or not isinstance(self.file_backend, LocalBackend):
            return
        source = runner._load_from or ''
        if not osp.exists(source) or not osp.samefile(osp.dirname(source) or '.', self.out_dir):
            return
        # file names of best checkpoints of this score, with the iteration as the group
        form = re.compile(
            re.escape(self._best_name(runner, indicator, 'N')).removesuffix(r'N\.pth')
            + r'(\d+)\.pth')
        named = form.fullmatch(name)
        for other in sorted(os.listdir(self.out_dir)):
            left_over = form.fullmatch(other)
            if left_over and other != name:
                if named and int(left_over.group(1)) < int(named.group(1)):
                    self._remove(other)
                else:
                    self._outdated_best.append(other)

    def _is_here(self, runner: Any, name: str) -> bool:
        """Whether a best checkpoint is in this run's folder; one of the run that is resumed is
        copied first.
        """
        target = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(target):
            return True
        # beside the checkpoint that mmengine's runner resumes from
        source = osp.join(osp.dirname(runner._load_from or ''), name)
        if not runner._resume or not osp.isfile(source):
            return False
        with written_whole(target) as part:
            shutil.copyfile(source, part)
        runner.logger.info(f'copied the best checkpoint {source} to {target}')
        return True

    def _first_best_waits(self) -> bool:
        """There is a best score and no regular checkpoint to go on from: then one is written first,
        due or not.
        """
        return self._no_regular_yet() and bool(
            self.save_best and any(self._best(indicator) for indicator in self.key_indicators))

    def _no_regular_yet(self) -> bool:
        """Whether regular checkpoints are wanted (``interval``) and a run could not go on from any
        yet: this process has written none and has resumed from none.
        """
        return self.interval > 0 and self.last_ckpt is None and not self._resumed

    def _best_name(self, runner: Any, indicator: str, step: Any = None) -> str:
        """Name of the best checkpoint by a score, of the present iteration if ``step`` is None."""
        step = (runner.epoch if self.by_epoch else runner.iter) if step is None else step
        return f'best_{indicator}_{self.filename_tmpl.format(step)}'.replace('/', '_')

    def _write_best(self, runner: Any, name: str) -> None:
        """Write the present weights as best checkpoint ``name``; without optimizer and schedules,
        as no run resumes from it.
        """
        self._write(runner, name, save_optimizer=False, save_param_scheduler=False,
                    meta=dict(epoch=runner.epoch, iter=runner.iter), by_epoch=False)
        runner.logger.info(f'best checkpoint saved: {name}')

    def _write_waiting_best(self, runner: Any) -> None:
        """Write the best checkpoints that waited for the first regular one."""
        for name in self._waiting_best:
            self._write_best(runner, name)
        self._waiting_best = []

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        """Write a checkpoint for every score that is better than before.

        Replaces mmengine's, which removes the old file first and writes the new one in place.
        """
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:  # mmengine then sets key_indicators and rules
            self._init_rule(self.rules, [next(iter(metrics))])  # the first metric there is
        # the first best checkpoint waits for the first regular one, which is written right after
        waits = self._no_regular_yet() and isinstance(runner.train_loop, AnnouncingLoop)
        for indicator, rule in zip(self.key_indicators, self.rules):
            score, before = metrics[indicator], self._best(indicator)
            score_key, _ = self._hub_keys(indicator)
            # init_value_map: minus or plus infinity, by rule ('greater', 'less')
            best = runner.message_hub.get_info(score_key, self.init_value_map[rule])
            # None: the score could not be computed in this evaluation
            if score is None or not self.is_better_than[indicator](score, best):
                continue
            name = self._best_name(runner, indicator)
            runner.message_hub.update_info(score_key, score)
            self._set_best(runner, indicator, name)
            runner.logger.info(f'{indicator} {score:0.4f} is the best so far')
            if waits:
                self._waiting_best.append(name)
            else:
                self._write_best(runner, name)
            if before and before != name:
                # a regular checkpoint names it: it stays until the next one names its successor
                if before in self._saved_best.values():
                    self._outdated_best.append(before)
                elif is_main_process():  # no regular checkpoint names the old best one
                    self._remove(before)

    def _forget_outdated_best(self) -> None:
        """Remove best checkpoints that only earlier regular checkpoints named: called when a newer
        one has been written.
        """
        if not self.save_best:
            return
        present = {
            indicator: self._best(indicator)
            for indicator in self.key_indicators if self._best(indicator)
        }
        for name in self._outdated_best:
            if name not in present.values():
                self._remove(name)
        self._outdated_best, self._saved_best = [], present
