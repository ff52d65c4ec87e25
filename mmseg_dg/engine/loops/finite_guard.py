"""What the training loop does about steps that are not finite: when the host looks, what it says,
what is counted.
"""
import logging
import os.path as osp
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import LoggerHook
from mmengine.logging import print_log

from mmseg_dg.engine.hooks.finite_state import install_finite_state
from mmseg_dg.methods.finite import FiniteWatch, NonFiniteError, StepCheck
from mmseg_dg.utils.finite_state import nonfinite_summary
from mmseg_dg.utils.method import method_of

#: Steps after which the host looks at the latest, whatever the interval of the log.
LONGEST_WAIT = 100
#: Key of mmengine's message hub, and so of checkpoints: ``[steps skipped so far, of these in a row
#: up to now]``.
COUNTS = 'nonfinite_steps'


class FiniteGuard:
    """Connects a :class:`FiniteWatch` with a training loop.

    Args:
        loop: The loop, whose runner, streams and micro-batches are read when something is wrong.
        action: ``'stop'`` or ``'skip'``.
        in_a_row: Skipped steps in a row that end the run.

    Attributes:
        watch: For the stepper.
        interval: Shortest interval of the run's LoggerHooks, in iterations; set by :meth:`prepare`.
    """
    def __init__(self, loop: Any, action: str, in_a_row: int) -> None:
        self.loop = loop
        self.watch = FiniteWatch(action, in_a_row)
        # the watch calls these: for the end of an error message, and to log a skipped step
        self.watch.describe = self._describe
        self.watch.report = lambda text: print_log(text, logger='current', level=logging.WARNING)
        install_finite_state(loop.runner)  # the hook that looks at checkpoints

    def prepare(self) -> None:
        """Before the first iteration: take up the counts of a resumed run, and find the interval of
        the log.
        """
        counts = self.loop.runner.message_hub.runtime_info.get(COUNTS)
        if counts:
            self.watch.skipped, self.watch.current = (int(value) for value in counts)
        intervals = [
            hook.interval for hook in self.loop.runner.hooks if isinstance(hook, LoggerHook)
        ]
        self.interval = min([i for i in intervals if i > 0], default=LONGEST_WAIT)

    def after_step(self, state_is_due: bool) -> None:
        """Read the flags where the step is logged, judged or saved.

        Args:
            state_is_due: A validation or a checkpoint follows; then the whole state is checked too.

        Raises:
            NonFiniteError: A step since the last look, or the state as it is now, is not finite.
        """
        iteration = self.loop.iter + 1  # as logs count: the step just taken included
        # ``waiting``: steps whose flags lie unread on the device
        if state_is_due or iteration % self.interval == 0 or self.watch.waiting >= LONGEST_WAIT:
            self.watch.read()
        if self.watch.skipped:
            self.loop.runner.message_hub.update_info(COUNTS,
                                                     [self.watch.skipped, self.watch.current])
        if state_is_due:
            self._check_state(iteration)

    def _check_state(self, iteration: int) -> None:
        """Raise NonFiniteError where the state of model or optimizer is not finite: a step computes
        more than its losses (running statistics of a teacher, say).
        """
        runner = self.loop.runner
        # names and counts of NaN and infinite values as a text; empty where there are none
        wrong = nonfinite_summary(
            dict(model=method_of(runner).state_dict(),
                 optimizer=runner.optim_wrapper.optimizer.state_dict()))
        if wrong:
            # it only tells the message the iteration: there are no buffers to bring back
            check = StepCheck(method_of(runner), self.loop.iter, remember=False)
            raise NonFiniteError('\n'.join([
                f'after iteration {iteration} the state is not finite: '
                f'{wrong}', *self._describe(check)
            ]))

    # ------------------------------------------------------------------ words
    def _describe(self, check: StepCheck) -> list[str]:
        """The end of the message about a step that is not finite, line by line: its images with
        their draw numbers, and the commands that show and repeat it.
        """
        runner, iteration = self.loop.runner, check.iteration
        lines = []
        seen: dict[str, int] = {}
        for batch in check.batches:  # one per stream and micro-batch
            # images of earlier micro-batches of the stream
            begin = seen.get(batch.stream, 0)
            seen[batch.stream] = begin + len(batch.files)
            named = ', '.join(f'{file} (draw {self._draw(batch.stream, iteration, begin + i)})'
                              for i, file in enumerate(batch.files))
            lines.append(f'  batch of "{batch.stream}": {named}')
        config = runner.cfg.filename or 'CONFIG'
        folder = osp.join(runner.work_dir, 'nonfinite')
        seed = f'seed {runner.seed}, process {get_rank()} of {get_world_size()}'
        return [
            *lines, f'  counted from 0 it is iteration {iteration}; {seed}',
            f'No checkpoint was written from it; earlier ones in {runner.work_dir} are good.',
            f'  see the batch:    python tools/analysis_tools/browse_streams.py {config} '
            f'--iteration {iteration} --seed {runner.seed} --out {folder}',
            f'  repeat the step:  python tools/train.py {config} --work-dir {runner.work_dir} '
            '--resume',
            "  leave such steps out: train_cfg.on_nonfinite='skip'. Usual causes: a learning rate "
            'that is too high, no warm-up, NaN in float images, float16'
        ]

    def _draw(self, stream: str, iteration: int, place: int) -> int:
        """Number of a sample in its stream's sequence of draws, which all processes share: sample n
        of a process is draw ``n * processes + rank`` (``StatelessSampler``).

        Args:
            stream: Name of the stream.
            iteration: 0-based iteration of the run.
            place: Index of the sample among those of this process in the iteration.
        """
        loader = self.loop.dataloader[stream]
        sampler = loader.sampler
        position = iteration * loader.batch_size * self.loop.accumulate + place
        return position * sampler.world_size + sampler.rank
