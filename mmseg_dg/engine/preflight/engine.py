"""Checks of model, hooks, schedules and optimizer: what would make a run silently wrong."""
from typing import Any

from mmseg_dg.methods.base import BaseMethod

from .hooks import hook_problems


def check_method(method: Any) -> None:
    """Refuse a model that is not a training method.

    Raises:
        TypeError: It is a plain segmentor or something else.
    """
    if not isinstance(method, BaseMethod):
        raise TypeError(
            f'MultiStreamTrainLoop trains methods, got {type(method).__name__}: wrap the network, '
            "e.g. model=dict(type='Supervised', network=dict(type='EncoderDecoder', ...))")


def check_engine(runner: Any, method: Any) -> None:
    """Refuse hooks, schedules and seeds that would make a run silently wrong.

    Raises:
        ValueError: A teacher nobody updates, settings that count epochs or backward passes, seeds
            that differ by rank.
    """
    for error in hook_problems(runner, method):
        raise error
    # mmengine's private field: backward passes per optimizer step
    counts = runner.optim_wrapper._accumulative_counts
    if counts > 1:
        raise ValueError(f'optim_wrapper.accumulative_counts={counts} counts backward passes, of '
                         f'which a method has several per step: set train_cfg.accumulate={counts} '
                         'instead')
    for scheduler in runner.param_schedulers or ():
        if scheduler.by_epoch:
            raise ValueError(f'{type(scheduler).__name__} counts epochs and would never step: '
                             'MultiStreamTrainLoop counts iterations, set by_epoch=False and give '
                             'begin and end in iterations (or use WarmupPolyLR)')
    # _randomness_cfg: the config's ``randomness``
    if runner._randomness_cfg.get('diff_rank_seed'):
        raise ValueError('randomness.diff_rank_seed=True would give every process its own order '
                         'of samples: remove it, the random decisions of a step differ by process '
                         'anyway')
    check_optimizer(runner.model, runner.optim_wrapper)


def check_optimizer(model: Any, optim_wrapper: Any) -> None:
    """Refuse an optimizer that does not have everything that receives gradients.

    Raises:
        ValueError: A trainable parameter is in no group (it was frozen when the optimizer was
            built).
    """
    stepped = {id(p) for group in optim_wrapper.optimizer.param_groups for p in group['params']}
    lost = [
        name for name, p in model.named_parameters() if p.requires_grad and id(p) not in stepped
    ]
    if lost:
        raise ValueError(f'{len(lost)} trainable parameters are in no optimizer group, e.g. '
                         f'{lost[:3]}: they were frozen when the optimizer was built. Freeze in a '
                         'hook (before_train), not in the constructor')
