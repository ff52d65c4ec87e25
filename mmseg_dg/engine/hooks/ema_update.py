"""The one hook that updates teachers."""
from collections.abc import Iterable, Mapping
from typing import Any, Union

from mmengine.runner import Runner

from mmseg_dg.methods.base import BaseMethod
from mmseg_dg.methods.teacher import BUFFER_POLICIES
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils.method import method_of

from .run_checks import CheckingHook


@HOOKS.register_module()
class EMAUpdateHook(CheckingHook):
    """Update every average of the method once per iteration.

    DACS: ``beta=0.999, when='before_step', ramp=True`` (the teacher of iteration t is made of the
    student that step t-1 left; at t = 0 it is a copy). DeFT: ``beta=0.9999, when='after_step',
    ramp=False``. Semi-supervised: 0.999 after. Parameters only, unless ``buffers`` says otherwise.
    An optimizer step that was skipped, by a loss scaler or because it was not finite, skips the
    update and its count; on a GPU the host does not wait to hear of it.

    Args:
        beta: Weight of the old average, in [0, 1]; or one per average of the method, by name:
            ``dict(encoder=0.9999, decoder=0.999)`` for DeFT.
        when: ``'before_step'`` or ``'after_step'``.
        ramp: Use ``min(1 - 1/(t + 1), beta)``.
        buffers: BatchNorm policy, see :class:`mmseg_dg.methods.teacher.EMATeacher`; or one per
            average, by name.
        debias: Divide the bias toward the initial weights out, see
            :class:`mmseg_dg.methods.teacher.EMATeacher`.

    Raises:
        ValueError: Bad arguments, a method without a teacher, or names it does not have.
    """
    def __init__(self, beta: Union[float,
                                   Mapping] = 0.9999, when: str = 'after_step', ramp: bool = False,
                 buffers: Union[str, Mapping] = 'batch', debias: bool = False) -> None:
        if when not in ('before_step', 'after_step'):
            raise ValueError(f"when must be 'before_step' or 'after_step', got {when!r}")
        for value in beta.values() if isinstance(beta, Mapping) else (beta, ):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f'beta must lie in [0, 1], got {beta}')
        for value in buffers.values() if isinstance(buffers, Mapping) else (buffers, ):
            if value not in BUFFER_POLICIES:
                raise ValueError(f'unknown BatchNorm policy buffers={buffers!r}: use one of '
                                 f'{BUFFER_POLICIES}')
        self.beta, self.when, self.ramp = beta, when, ramp
        self.buffers, self.debias = buffers, debias

    def before_train(self, runner: Runner) -> None:
        """Configure the averages; at the beginning of a run, one that was never updated is a copy
        of its source.
        """
        pairs = self.check_run(runner)
        betas = _by_name('beta', self.beta, pairs)
        buffers = _by_name('buffers', self.buffers, pairs)
        for name, (source, average) in pairs.items():
            average.configure(betas[name], self.ramp, buffers[name], self.debias)
            # steps: updates so far. A resumed run is left out although it may have none: averages
            # that wait (DeFT's decoder warm-up) have statistics of their own
            if int(average.steps) == 0 and runner.iter == 0:
                average.copy_from(source)

    def check_run(self, runner: Runner) -> dict:
        """The averages to update, ``{name: (source, average)}``.

        Raises:
            ValueError: There is none, or the hook's settings name others.
        """
        method = method_of(runner)
        pairs = method.ema_pairs() if isinstance(method, BaseMethod) else {}
        if not pairs:
            raise ValueError(f'EMAUpdateHook: {type(method).__name__} has no teacher to update: '
                             'remove the hook, or use a method with one (DACS, DeFT, ...)')
        # called for their ValueError if a name is that of no average
        _by_name('beta', self.beta, pairs)
        _by_name('buffers', self.buffers, pairs)
        return pairs

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self.when == 'before_step':
            self._update(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        if self.when == 'after_step':
            self._update(runner)

    def _update(self, runner: Runner) -> None:
        """Move the averages toward their sources, unless the step was skipped. On a GPU the host
        does not know whether it was: the averages get the flag and decide there.
        """
        method = method_of(runner)
        # 0-d buffer of the method, which its step writes: 1 after a step that changed nothing
        skipped = method.step_skipped
        if not method.averages_follow:
            return  # DeFT's wait while its decoder is warmed up
        if not skipped.is_cuda:
            if int(skipped):
                return
            skipped = None  # not skipped, as the host knows: nothing is left to be decided
        for source, average in method.ema_pairs().values():
            average.update_parameters(source, unless=skipped)


def _by_name(what: str, value: Any, names: Iterable[str]) -> dict:
    """A setting for each average, by its name: ``value`` for all, or the entries of a dict, which
    must have exactly these names (ValueError). ``what`` is the setting's name.
    """
    names = list(names)
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    if set(value) != set(names):
        raise ValueError(f'EMAUpdateHook: {what}={dict(value)} must name each average of the '
                         f'method once: {names}')
    return dict(value)
