"""Checks of hooks: those a method needs and those it has no use for."""
from collections.abc import Iterator
from typing import Any, Optional

from mmengine.hooks import CheckpointHook

from mmseg_dg.engine.hooks.decoder_warmup import DecoderWarmupHook
from mmseg_dg.engine.hooks.run_checks import CheckingHook
from mmseg_dg.methods.base import HandsOver
from mmseg_dg.registry import HOOKS

from .problems import with_fix


def hook_problems(runner: Any, method: Any, max_iters: int = 0) -> Iterator[Exception]:
    """Errors for missing hooks, left-over hooks, and a warm-up longer than the run.

    ``custom_hooks`` of a child config replaces the whole list of its base, and a child that changes
    ``model.type`` keeps the hooks of the other method: both are usual, and both would train
    something else in silence.

    Args:
        runner: With its hooks.
        method: The method that is trained.
        max_iters: Length of the run, 0 where it is not known yet.
    """
    needed = (['EMAUpdateHook'] if method.ema_pairs() else []) + list(method.required_hooks)
    missing = [
        name for name in dict.fromkeys(needed)
        if not any(isinstance(hook, HOOKS.get(name)) for hook in runner.hooks)
    ]
    # {id(hook): why the hook does not fit this run}
    unfit = {
        id(hook): error
        for hook in runner.hooks if (error := _unfit(hook, runner)) is not None
    }
    fix = {'custom_hooks': _mended_list(runner, method, needed, unfit)}
    for name in missing:
        if name == 'EMAUpdateHook':
            yield with_fix(
                ValueError(
                    f'{type(method).__name__} has a teacher, but no EMAUpdateHook updates it: '
                    'custom_hooks of a child config replaces the whole list of its base, so repeat '
                    'the hook there'), fix)
        else:
            yield with_fix(
                ValueError(f'{type(method).__name__} needs {name}: add dict(type={name!r}) to '
                           'custom_hooks (a child config\'s list replaces that of its base)'), fix)
    for hook in runner.hooks:
        if id(hook) in unfit:
            yield with_fix(unfit[id(hook)], fix if _is_custom(hook, runner) else {})
        if isinstance(hook, CheckpointHook) and hook.by_epoch:
            yield with_fix(
                ValueError(
                    f'default_hooks.checkpoint counts epochs (interval={hook.interval}): set '
                    'by_epoch=False and give its interval in iterations'),
                {'default_hooks.checkpoint.by_epoch': False})
    if max_iters:
        lengths = [
            h.warmup_iters for h in runner.hooks
            if isinstance(h, DecoderWarmupHook) and h.warmup_epochs is None
        ]
        if 'DecoderWarmupHook' in missing:  # once it is added, it takes the method's own length
            lengths.append(None)
        yield from _warmup_problems(method, lengths, max_iters)


def _unfit(hook: Any, runner: Any) -> Any:
    """The error a hook raises against this run, None if it has none; hooks of this package have
    ``check_run`` for it.
    """
    if not isinstance(hook, CheckingHook):
        return None
    try:
        hook.check_run(runner)
    except ValueError as error:
        return error
    return None


def _is_custom(hook: Any, runner: Any) -> bool:
    """Whether the hook comes from ``custom_hooks``."""
    return any(
        config.get('type') == type(hook).__name__
        for config in runner.cfg.get('custom_hooks') or ())


def _mended_list(runner: Any, method: Any, needed: list[str], unfit: dict[int,
                                                                          Exception]) -> list[dict]:
    """``custom_hooks`` with what is missing and without what has no use; a needed hook with bad
    arguments anew.
    """
    useless = {type(hook).__name__ for hook in runner.hooks if id(hook) in unfit}
    settings = method.hook_settings
    kept = [
        dict(config) for config in runner.cfg.get('custom_hooks') or ()
        if config.get('type') not in useless
    ]
    there = {config.get('type') for config in kept}
    added = [
        dict(type=name, **settings.get(name, {})) for name in dict.fromkeys(needed)
        if name not in there
    ]
    return added + kept


def _warmup_problems(method: Any, lengths: list[Optional[int]],
                     max_iters: int) -> Iterator[ValueError]:
    """Errors for a decoder warm-up longer than the training; None in ``lengths``: the method's."""
    for configured in lengths:  # None: that of the method
        own = method.warmup_iters if isinstance(method, HandsOver) else 0
        length = own if configured is None else configured
        if length and length > max_iters:
            # 8000 of 48 000 iterations in DeFT's paper
            fix = {'model.warmup_iters': max(1, max_iters // 6)} if configured is None else {}
            yield with_fix(
                ValueError(
                    f'the decoder warm-up of {length} iterations is longer than the training of '
                    f'{max_iters}: max_iters counts both stages. Shorten it (a sixth of the run in '
                    'the paper), or train longer'), fix)
