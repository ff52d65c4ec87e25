"""Checks of optimizer, schedules and length as they are written in a config."""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from mmseg_dg.engine.optim.schedules import ClosedForm
from mmseg_dg.registry import OPTIMIZERS, PARAM_SCHEDULERS

from .arguments import argument_problems
from .paste import keys_written
from .problems import Fix, with_fix


def optimizer_problems(config: Optional[Mapping]) -> Iterator[ValueError]:
    """Errors for arguments the optimizer does not take (those of the base's optimizer, into which
    a child's was merged) and for accumulation that counts backward passes.

    Args:
        config: ``optim_wrapper`` of the config.
    """
    config = config if isinstance(config, Mapping) else {}
    optimizer = config.get('optimizer')
    if config.get('accumulative_counts', 1) > 1:
        counts = config['accumulative_counts']
        yield with_fix(
            ValueError(
                f'optim_wrapper.accumulative_counts={counts} counts backward passes, of which a '
                f'method has several per step: set train_cfg.accumulate={counts} instead'),
            {'optim_wrapper.accumulative_counts': 1, 'train_cfg.accumulate': counts})
    yield from argument_problems('optim_wrapper.optimizer', optimizer, OPTIMIZERS)


def schedule_problems(schedulers: Any, max_iters: int,
                      hooks: Sequence[str] = ()) -> Iterator[ValueError]:
    """Errors for schedulers that would never step, overwrite each other, or ignore an argument.

    Args:
        schedulers: ``param_scheduler`` of the config.
        max_iters: Length of the run, 0 where it is not known yet.
        hooks: Names of the run's hooks, missing ones included.
    """
    configs = [schedulers] if isinstance(schedulers, Mapping) else list(schedulers or ())
    configs = [
        config for config in configs
        if isinstance(config, Mapping) and isinstance(config.get('type'), str)
    ]
    classes = [PARAM_SCHEDULERS.get(config['type']) for config in configs]
    # whether each is a function of the iteration alone (this package's schedules)
    closed = [cls is not None and issubclass(cls, ClosedForm) for cls in classes]
    for config, cls, absolute in zip(configs, classes, closed):
        if cls is None:
            yield ValueError(f'param_scheduler: {config["type"]!r} is no registered scheduler')
        elif absolute and 'end' in config:
            yield ValueError(f'{config["type"]}: end={config["end"]} would be ignored, it is a '
                             'function of the iteration over its whole length: set total, or '
                             'leave both out for the length of the run')
        elif absolute and config['type'] != 'TwoStagePolyLR':
            yield from _long_warmup(config, configs, max_iters)
        elif not absolute and config.get('by_epoch',
                                         True) and not config.get('convert_to_iter_based'):
            yield with_fix(
                ValueError(
                    f'{config["type"]} counts epochs and would never step: MultiStreamTrainLoop '
                    'counts iterations, set by_epoch=False and give begin and end in iterations '
                    '(or use WarmupPolyLR)'), {
                        'param_scheduler':
                            [_by_iteration(c, k, max_iters) for c, k in zip(configs, closed)]
                    })
        if config['type'] == 'TwoStagePolyLR':
            yield from _two_stage_problems(config, hooks)
    # schedules of momentum go with any other; of those of the rate, a closed form stands alone
    rates = [config['type'] for config in configs if 'Momentum' not in config['type']]
    alone = next((config['type'] for config, absolute in zip(configs, closed) if absolute), None)
    if alone is not None and len(rates) > 1:
        yield ValueError(
            f'param_scheduler has {rates}: {alone} sets the rate of every iteration by a formula, '
            'so what the others do to it is overwritten. Use one; WarmupPolyLR and WarmupCosineLR '
            'have warmup_iters and min_lr')


def _long_warmup(config: Mapping, configs: list, max_iters: int) -> Iterator[ValueError]:
    """An error for a warm-up that is longer than the schedule: that of the base's long run in a
    child's short one.

    Args:
        config: The schedule, one of ``configs``.
        configs: All schedules, which the lines to paste repeat.
        max_iters: Length of the run, 0 where it is not known.
    """
    length, warmup = config.get('total') or max_iters, config.get('warmup_iters') or 0
    if length and warmup > length:
        # a 25th of the schedule; DAFormer has 1500 of 40 000
        shorter = dict(config, warmup_iters=max(1, length // 25))
        yield with_fix(
            ValueError(
                f'{config["type"]}: warmup_iters={warmup} is longer than the schedule of {length} '
                'iterations: lower it, or train longer'),
            {'param_scheduler': [shorter if c is config else dict(c) for c in configs]})


def _by_iteration(config: Mapping, absolute: bool, max_iters: int) -> dict:
    """A schedule that counts epochs, counted in iterations of the whole run; unchanged where it is
    ``absolute`` or the length of the run is not known.
    """
    if absolute or not max_iters:
        return dict(config)
    # this package's poly schedule reads the length of the run from the loop
    if config['type'] == 'PolyLR':
        return dict(type='WarmupPolyLR', power=config.get('power', 1),
                    min_lr=config.get('eta_min', 0.))
    return dict(config, by_epoch=False, begin=0, end=max_iters)


def _two_stage_problems(config: Mapping, hooks: Sequence[str]) -> Iterator[ValueError]:
    """An error for a two-stage schedule with settings of a warm-up whose length nothing gives;
    ``hooks`` are the names of the run's hooks, of which ``DecoderWarmupHook`` gives one.
    """
    has_length = config.get('warmup_iters') is not None or 'DecoderWarmupHook' in hooks
    if not has_length and config.get('warmup'):
        yield ValueError(
            f'TwoStagePolyLR: warmup={dict(config["warmup"])} would be ignored, nobody says how '
            'long the warm-up is: add DecoderWarmupHook to custom_hooks, or give the schedule '
            'warmup_iters, or remove warmup')


def length_problems(train_cfg: Mapping, filename: Optional[str] = None) -> Iterator[ValueError]:
    """Errors for a run that has not one length, in iterations or in epochs.

    Args:
        train_cfg: Arguments of ``MultiStreamTrainLoop`` as they are in the merged config.
        filename: The user's config file, which tells which of two lengths he wrote himself.
    """
    iters, epochs = train_cfg.get('max_iters'), train_cfg.get('max_epochs')
    if (iters is None) == (epochs is None):
        message = f'give max_iters or max_epochs, got max_iters={iters}, max_epochs={epochs}'
        if iters is None:
            yield ValueError(message)
            return
        written = keys_written(filename, 'train_cfg')
        epochs_only = 'max_epochs' in written and 'max_iters' not in written
        keep = 'max_epochs' if epochs_only else 'max_iters'
        # None takes the other length out
        fix: Fix = {'train_cfg.max_iters': None}
        if keep == 'max_iters':
            fix = {'train_cfg.max_epochs': None, 'train_cfg.epoch_stream': None}
        if 'val_interval' not in written:  # the base's counts in the other unit
            # ten validations in the run, or one after each epoch
            fix['train_cfg.val_interval'] = max(1, iters // 10) if keep == 'max_iters' else 1
        yield with_fix(
            ValueError(
                f'{message}: a child config that counts otherwise than its base has to take out '
                'the length of the base with None. val_interval and val_begin count in the same '
                'unit'), fix)
    if train_cfg.get('accumulate', 1) < 1:
        yield ValueError('accumulate counts micro-batches per iteration, got '
                         f'{train_cfg["accumulate"]}')
