"""Learning-rate schedules as closed forms of the iteration.

Chained recursive schedulers (mmengine's PolyLR after LinearLR) neither multiply a warm-up onto a
decaying poly value nor land on the papers' values; a closed form does, and resumes to the last bit.
"""
from typing import Optional, Union

from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch.optim import Optimizer

from mmseg_dg.registry import PARAM_SCHEDULERS


def poly_factor(iteration: int, total: int, power: float = 1.0) -> float:
    """``(1 - t/total)^power``, 0 beyond the end."""
    return max(0.0, 1.0 - iteration / total)**power


def warmup_factor(iteration: int, warmup_iters: int, warmup_ratio: float = 1e-6) -> float:
    """``1 - (1 - t/warmup_iters)(1 - warmup_ratio)`` while t < warmup_iters, then 1."""
    if iteration >= warmup_iters:
        return 1.0
    return 1.0 - (1.0 - iteration / warmup_iters) * (1.0 - warmup_ratio)


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(LRSchedulerMixin, _ParamScheduler):
    """Poly decay with a multiplied linear warm-up, exact at every iteration.

    mmengine's base class keeps ``last_step`` (the present iteration, 0-based) and ``base_values``
    (the rate that the config gives each group), and asks ``_get_value`` for the rates.

    ``lr(t) = [(base - min_lr) (1 - t/total)^power + min_lr] * warmup(t)``. With ``min_lr`` above
    the base rate the rate rises toward ``min_lr``: the official no-warm-up ablation of DAFormer
    does that (docs/behavior/daformer_hrda.md#optimizer-and-schedule).

    Args:
        optimizer: Optimizer or optim wrapper.
        power: Exponent of the decay.
        warmup_iters: Iterations of linear warm-up; 0 for none.
        warmup_ratio: Factor at iteration 0.
        min_lr: Learning rate at ``total``.
        total: Iterations of the whole schedule; None reads ``max_iters`` of the running train loop.
        last_step: Iteration before the first; only mmengine's resume sets it.
        verbose: Print every change of the rate.
        end: Not used (mmengine passes its own idea of the end to every scheduler it builds).
        warmup_share: Instead of ``warmup_iters``: the part of the schedule that is warm-up, 0 to 1,
            rounded to whole iterations; a run of any length keeps its shape.

    Raises:
        ValueError: ``total`` is unknown or not positive, the warm-up is longer than the schedule or
            given twice.
    """
    def __init__(self, optimizer: Union[Optimizer, OptimWrapper], power: float = 1.0,
                 warmup_iters: int = 0, warmup_ratio: float = 1e-6, min_lr: float = 0.0,
                 total: Optional[int] = None, last_step: int = -1, verbose: bool = False,
                 end: Optional[int] = None, warmup_share: Optional[float] = None) -> None:
        if total is None:  # the training loop leaves the run's length there
            total = MessageHub.get_current_instance().runtime_info.get('max_iters')
        if total is None or total <= 0:
            raise ValueError(f'{type(self).__name__} needs the length of the schedule, got '
                             f'total={total}: set it, or train with MultiStreamTrainLoop, which '
                             'publishes max_iters')
        if warmup_share is not None:
            if warmup_iters or not 0 <= warmup_share <= 1:
                raise ValueError(f'warmup_share={warmup_share} is a part of the run between 0 and '
                                 f'1, and goes without warmup_iters={warmup_iters} (set that to 0)')
            warmup_iters = round(warmup_share * total)
        if warmup_iters > total:
            raise ValueError(f'warmup_iters={warmup_iters} is longer than the schedule of {total} '
                             'iterations: lower it')
        self.power, self.min_lr = power, min_lr
        self.warmup_iters, self.warmup_ratio = warmup_iters, warmup_ratio
        self.total = total
        # `end` beyond any run: the base class stops changing values there
        super().__init__(optimizer, begin=0, end=2**62, last_step=last_step, by_epoch=False,
                         verbose=verbose)

    def state_dict(self) -> dict:
        """Only the position: lengths and rates belong to the config, which may be changed on
        resume. ``_global_step`` is mmengine's count of ``step()`` calls since the run began.
        """
        return dict(last_step=self.last_step, _global_step=self._global_step)

    def value_at(self, base: float, iteration: int) -> float:
        """The rate of a group with base rate ``base`` at ``iteration`` (0-based)."""
        warmup = warmup_factor(iteration, self.warmup_iters, self.warmup_ratio)
        return ((base - self.min_lr) * poly_factor(iteration, self.total, self.power)
                + self.min_lr) * warmup

    def stages(self) -> list[tuple[str, int, int]]:
        """(name, first iteration, iteration after the last) of the stages this run has."""
        stages = [('warm-up', 0, self.warmup_iters), ('decay', self.warmup_iters, self.total)]
        # without a stage of no iterations
        return [stage for stage in stages if stage[1] < stage[2]]

    def group_at(self, index: int, iteration: int) -> tuple[float, float]:
        """(learning rate, weight decay) of parameter group ``index`` at ``iteration``."""
        group = self.optimizer.param_groups[index]
        return self.value_at(self.base_values[index], iteration), group.get('weight_decay', 0.0)

    def _get_value(self) -> list[float]:
        """Learning rate of every group at the present iteration, ``last_step``."""
        return [self.value_at(base, self.last_step) for base in self.base_values]

    def write(self) -> None:
        """Write the rate of the present iteration into the optimizer's groups; after a resume these
        have that of the earlier schedule.
        """
        self._last_value = self._get_value()  # mmengine's field: what get_last_value() gives
        for group, rate in zip(self.optimizer.param_groups, self._last_value):
            group['lr'] = rate
