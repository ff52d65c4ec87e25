"""The one hook that updates teachers."""
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmseg_dg.registry import HOOKS


@HOOKS.register_module()
class EMAUpdateHook(Hook):
    """Update every average of the method once per iteration.

    DACS: ``beta=0.999, when='before_step', ramp=True`` (the teacher of iteration t is made of the student that step
    t-1 left; at t = 0 it is a copy). DeFT: ``beta=0.9999, when='after_step', ramp=False``. Semi-supervised: 0.999
    after. Parameters only, unless ``buffers`` says otherwise. An optimizer step that a loss scaler skipped skips the
    update and its count.

    Args:
        beta: Weight of the old average, in [0, 1].
        when: ``'before_step'`` or ``'after_step'``.
        ramp: Use ``min(1 - 1/(t + 1), beta)``.
        buffers: BatchNorm policy, see :class:`mmseg_dg.models.teacher.EMATeacher`.

    Raises:
        ValueError: Bad arguments, or a method without a teacher.
    """

    def __init__(self, beta: float = 0.9999, when: str = 'after_step', ramp: bool = False,
                 buffers: str = 'batch') -> None:
        if when not in ('before_step', 'after_step'):
            raise ValueError(f"when must be 'before_step' or 'after_step', got {when!r}")
        if not 0.0 <= beta <= 1.0:
            raise ValueError(f'beta must lie in [0, 1], got {beta}')
        self.beta, self.when, self.ramp, self.buffers = beta, when, ramp, buffers

    def before_train(self, runner) -> None:
        """Configure the averages; a fresh one starts as a copy of its source."""
        method = _method(runner)
        pairs = method.ema_pairs() if hasattr(method, 'ema_pairs') else {}
        if not pairs:
            raise ValueError(f'EMAUpdateHook: {type(method).__name__} has no teacher to update: remove the hook, or '
                             'use a method with one (DACS, DeFT, ...)')
        for source, average in pairs.values():
            average.configure(self.beta, self.ramp, self.buffers)
            if int(average.steps) == 0:
                average.copy_from(source)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.when == 'before_step':
            self._update(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.when == 'after_step':
            self._update(runner)

    def _update(self, runner) -> None:
        method = _method(runner)
        if int(method.step_skipped):
            return
        for source, average in method.ema_pairs().values():
            average.update_parameters(source)


def _method(runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
