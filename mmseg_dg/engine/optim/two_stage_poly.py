"""Learning rate and weight decay of a run in two stages: decoder warm-up, then finetuning, as
closed forms.
"""
from collections.abc import Mapping
from typing import Any, Optional, Union

from mmengine.logging import MessageHub
from mmengine.optim import BaseOptimWrapper, OptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch.optim import Optimizer

from mmseg_dg.registry import PARAM_SCHEDULERS

from .component_param_groups import COMPONENTS
from .warmup_poly import poly_factor

#: Factors a stage may have -> the setting of the optimizer that each multiplies.
_FACTORS = {'lr_mult': 'lr', 'decay_mult': 'weight_decay'}


@PARAM_SCHEDULERS.register_module()
class TwoStagePolyLR(LRSchedulerMixin, _ParamScheduler):
    """Poly decay that starts anew when the decoder warm-up ends, with rate and weight decay per
    stage and component.

    Warm-up, t < W: ``lr(t) = f_1 base (1 - t/D)^power``; then ``lr(t) = f_2 base (1 - (t -
    W)/(total - W))^power``.
    Source: docs/behavior/deft.md#optimization. D is the warm-up's own length as we read the paper,
    the length of the second stage in the released scripts.

    ``base`` is what the optimizer's config gives a group: ``optim_wrapper.optimizer.lr`` and
    ``.weight_decay``, times the factors that ``paramwise_cfg`` or the scaling of the learning rate
    put on it. A stage multiplies it, so that a rate written for the optimizer is always in effect.
    Factors per component need groups that name theirs:
    ``optim_wrapper.constructor='ComponentParamGroups'``. The start of the log prints the resulting
    rates and decays.

    Args:
        optimizer: Optimizer or optim wrapper.
        warmup_iters: W. None: ``DecoderWarmupHook`` gives its own before iteration 0; 0: no
            warm-up.
        warmup: ``lr_mult`` and ``decay_mult``, factors of rate and weight decay in the warm-up
            (numbers, or ``dict(encoder=..., decoder=...)``; absent: 1), and ``denominator``:
            ``'warmup'`` (default), ``'finetune'`` or a number of iterations.
        finetune: ``lr_mult`` and ``decay_mult`` of the second stage.
        power: Exponent of the decay, 0.9 in the paper.
        total: Iterations of both stages together; None reads ``max_iters`` of the running train
            loop.
        last_step: Iteration before the first; only mmengine's resume sets it.
        verbose: Print every change of the rate.
        end: Not used (mmengine passes its own idea of the end to every scheduler it builds).

    Raises:
        ValueError: Unknown keys, negative numbers, an unknown length, or a warm-up longer than the
            run.
    """
    def __init__(self, optimizer: Union[Optimizer, OptimWrapper],
                 warmup_iters: Optional[int] = None, warmup: Optional[dict] = None,
                 finetune: Optional[dict] = None, power: float = 0.9, total: Optional[int] = None,
                 last_step: int = -1, verbose: bool = False, end: Optional[int] = None) -> None:
        if total is None:  # the training loop leaves the run's length there
            total = MessageHub.get_current_instance().runtime_info.get('max_iters')
        if total is None or total <= 0:
            raise ValueError(f'TwoStagePolyLR needs the length of the schedule, got total={total}: '
                             'set it, or train with MultiStreamTrainLoop, which publishes '
                             'max_iters')
        self.total, self.power = total, power
        self.warmup = _checked('warmup', warmup, (*_FACTORS, 'denominator'))
        self.finetune = _checked('finetune', finetune, tuple(_FACTORS))
        self.given_warmup_iters = warmup_iters
        self._set_warmup(0 if warmup_iters is None else warmup_iters)
        # an optim wrapper has the optimizer in an attribute
        inner = optimizer.optimizer if isinstance(optimizer, BaseOptimWrapper) else optimizer
        # the config's decay stays in the group, as mmengine keeps the rate in ``initial_lr``: a
        # checkpoint has both, and write() changes ``weight_decay`` itself
        for group in optimizer.param_groups:
            group.setdefault('initial_weight_decay', group.get('weight_decay', 0.0))
        self._initial_decay = [group['initial_weight_decay'] for group in optimizer.param_groups]
        real = {id(group) for group in inner.param_groups}
        # of each group, None where it names none; mmengine's optim wrapper adds a group with a
        # dummy tensor, whose values are only logged: it goes as a decoder
        self._components = [
            group.get('component') if id(group) in real else COMPONENTS[1]
            for group in optimizer.param_groups
        ]
        # `end` beyond any run: the base class stops changing values there
        super().__init__(optimizer, begin=0, end=2**62, last_step=last_step, by_epoch=False,
                         verbose=verbose)

    def _set_warmup(self, warmup_iters: int) -> None:
        """Set the length of the warm-up, which must lie within the run."""
        if not 0 <= warmup_iters <= self.total:
            raise ValueError(f'TwoStagePolyLR: warmup_iters={warmup_iters} must lie between 0 and '
                             f'the length of the run, {self.total} iterations (warm-up included): '
                             'correct it, or train_cfg.max_iters')
        self.warmup_iters = warmup_iters

    def bind_warmup(self, warmup_iters: int) -> None:
        """Take over the length of the warm-up, and set the rates of the present iteration. Called
        by ``DecoderWarmupHook`` before iteration 0 (or the first after a resume).

        Raises:
            ValueError: The schedule was configured with another length.
        """
        if self.given_warmup_iters not in (None, warmup_iters):
            raise ValueError(f'the schedule restarts after {self.given_warmup_iters} iterations, '
                             f'but the decoder warm-up lasts {warmup_iters}: give TwoStagePolyLR '
                             'the same warmup_iters, or leave it out there')
        self._set_warmup(warmup_iters)
        self.write()

    # ------------------------------------------------------------------ values
    def value_at(self, base: float, iteration: int, component: Optional[str] = None) -> float:
        """Learning rate at ``iteration`` (0-based) of a group whose rate in the optimizer's config
        is ``base``.
        """
        return base * self._factor('lr_mult', iteration, component) * self.factor_at(iteration)

    def factor_at(self, iteration: int) -> float:
        """The decay alone, 1 at the beginning of either stage."""
        if iteration >= self.warmup_iters:
            return poly_factor(iteration - self.warmup_iters,
                               max(1, self.total - self.warmup_iters), self.power)
        return poly_factor(iteration, self.denominator, self.power)

    @property
    def denominator(self) -> int:
        """D of the class docstring: iterations after which the warm-up's rate would be 0."""
        value = self.warmup.get('denominator', 'warmup')
        named = {'warmup': self.warmup_iters, 'finetune': self.total - self.warmup_iters}
        return max(1, named.get(value, value))  # what is no name is a number of iterations

    def weight_decay_at(self, base: float, iteration: int,
                        component: Optional[str] = None) -> float:
        """Weight decay at ``iteration`` of a group whose decay in the optimizer's config is
        ``base``.
        """
        return base * self._factor('decay_mult', iteration, component)

    def stages(self) -> list[tuple[str, int, int]]:
        """(name, first iteration, iteration after the last) of the stages this run has."""
        stages = [('decoder warm-up', 0, self.warmup_iters),
                  ('finetuning', self.warmup_iters, self.total)]
        # without a stage of no iterations
        return [stage for stage in stages if stage[1] < stage[2]]

    def group_at(self, index: int, iteration: int) -> tuple[float, float]:
        """(learning rate, weight decay) of parameter group ``index`` at ``iteration``."""
        component = self._components[index]
        # mmengine's base class keeps in base_values the rate that the config gives each group
        return (self.value_at(self.base_values[index], iteration, component),
                self.weight_decay_at(self._initial_decay[index], iteration, component))

    def _factor(self, key: str, iteration: int, component: Optional[str]) -> float:
        """A stage's factor at an iteration, of a component where they differ."""
        stage = self.warmup if iteration < self.warmup_iters else self.finetune
        value = stage.get(key, 1.)
        if isinstance(value, Mapping):
            if component is None:
                raise ValueError(
                    f'TwoStagePolyLR: {key}={dict(value)} differs by component, but a parameter '
                    'group does not name its own: set '
                    "optim_wrapper.constructor='ComponentParamGroups'")
            value = value[component]
        return value

    def _get_value(self) -> list[float]:
        """Learning rate of every group at the present position, ``last_step``."""
        return [
            self.value_at(base, self.last_step, c)
            for base, c in zip(self.base_values, self._components)
        ]

    def write(self) -> None:
        """Write learning rates and weight decays of the present position, ``last_step``, into the
        optimizer's groups; after a resume these have those of the earlier run.
        """
        rates = self._get_value()  # by group
        for group, rate, decay, component in zip(self.optimizer.param_groups, rates,
                                                 self._initial_decay, self._components):
            group['lr'] = rate
            group['weight_decay'] = self.weight_decay_at(decay, self.last_step, component)
        self._last_value = rates  # mmengine's field: what get_last_value() gives

    def step(self) -> None:
        """Move to the next iteration and write rate and decay of every group; mmengine's own step
        knows the rate alone.
        """
        super().step()
        self.write()

    def state_dict(self) -> dict:
        """Only the position: lengths and rates belong to the config, which may be changed on
        resume. ``_global_step`` is mmengine's count of ``step()`` calls since the run began.
        """
        return dict(last_step=self.last_step, _global_step=self._global_step)


def _checked(name: str, values: Optional[Mapping], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Settings of one stage, as a dict; ValueError for unknown keys and numbers without meaning.

    Args:
        name: Of the stage, for messages.
        values: ``lr_mult`` and ``decay_mult`` (a number, or one per component), and for the warm-up
            ``denominator``: by how many iterations its decay is divided (``'warmup'``,
            ``'finetune'``: the length of that stage; or a number).
        allowed: Keys that this stage may have.
    """
    values = dict(values or {})
    # a stage takes factors (lr_mult), no rates or decays of its own (lr)
    for factor, setting in _FACTORS.items():
        if setting in values:
            raise ValueError(
                f'TwoStagePolyLR: {name}.{setting}={values[setting]!r} would override what is '
                'written for the optimizer: rates and decays come from optim_wrapper.optimizer, a '
                f'stage has factors. Write {name}=dict({factor}=...), the value divided by '
                f'optim_wrapper.optimizer.{setting}, or set that')
    unknown = sorted(set(values) - set(allowed))
    if unknown:
        raise ValueError(f'TwoStagePolyLR: {name} has no {unknown}; it takes {allowed}')
    denominator = values.get('denominator', 'warmup')
    counted = isinstance(denominator, int) and denominator > 0
    if denominator not in ('warmup', 'finetune') and not counted:
        raise ValueError(
            f"TwoStagePolyLR: {name}.denominator must be 'warmup', 'finetune' or a number of "
            f'iterations, got {denominator!r}')
    for key in _FACTORS:
        value = values.get(key, 1.)
        if isinstance(value, Mapping) and set(value) != set(COMPONENTS):
            raise ValueError(f'TwoStagePolyLR: {name}.{key} needs the keys {COMPONENTS}, got '
                             f'{sorted(value)}')
        # one factor per component, or one for both
        for number in value.values() if isinstance(value, Mapping) else (value, ):
            if not isinstance(number, (int, float)) or number < 0:
                raise ValueError(f'TwoStagePolyLR: {name}.{key}={number} must be a number that is '
                                 'not negative')
    return values
