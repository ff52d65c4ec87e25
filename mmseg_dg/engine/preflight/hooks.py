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
    # {id(hook): its own error against this run}, for hooks that have one
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
            # lines for custom_hooks do not mend a hook that comes from elsewhere
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
        # None: the hook takes the method's length, as one that the lines to paste add
        if 'DecoderWarmupHook' in missing:
            lengths.append(None)
        yield from _warmup_problems(method, lengths, max_iters)


def _unfit(hook: Any, runner: Any) -> Any:
    """The ValueError a hook raises against this run, None if it raises none; only a
    :class:`CheckingHook` is asked (its ``check_run``).
    """
    if not isinstance(hook, CheckingHook):
        return None
    try:
        hook.check_run(runner)
    except ValueError as error:
        return error
    return None


def _is_custom(hook: Any, runner: Any) -> bool:
    """Whether the hook comes from ``custom_hooks``: a hook of its class is listed there, by name
    (perhaps with a scope, ``mmseg_dg.NAME``) or as the class itself.
    """
    kind = type(hook)
    types = [config.get('type') for config in runner.cfg.get('custom_hooks') or ()]
    return any(given is kind or str(given).rpartition('.')[2] == kind.__name__ for given in types)


def _mended_list(runner: Any, method: Any, needed: list[str], unfit: dict[int,
                                                                          Exception]) -> list[dict]:
    """The list that mends ``custom_hooks``: hooks that refuse this run are left out, needed ones
    that are missing then (also those with bad arguments, just left out) are added with the
    arguments the method advises.

    Args:
        runner: With its hooks.
        method: The method that is trained.
        needed: Names of the hooks it cannot do without.
        unfit: ``{id(hook): error}`` of the hooks that refuse this run.
    """
    useless = {type(hook).__name__ for hook in runner.hooks if id(hook) in unfit}
    settings = method.hook_settings  # {name of a hook: arguments as the paper has them}
    kept = [
        dict(config) for config in runner.cfg.get('custom_hooks') or ()
        if config.get('type') not in useless
    ]
    kept_names = {config.get('type') for config in kept}
    added = [
        dict(type=name, **settings.get(name, {})) for name in dict.fromkeys(needed)
        if name not in kept_names
    ]
    return added + kept


def _warmup_problems(method: Any, lengths: list[Optional[int]],
                     max_iters: int) -> Iterator[ValueError]:
    """Errors for a decoder warm-up longer than the training.

    Args:
        method: The method that is trained.
        lengths: Iterations that each ``DecoderWarmupHook`` is given; None: it takes the method's.
        max_iters: Length of the run.
    """
    for configured in lengths:
        of_method = method.warmup_iters if isinstance(method, HandsOver) else 0
        length = of_method if configured is None else configured
        if length and length > max_iters:
            # a length that the method gives can be mended there, to a sixth of the run (8000 of
            # 48 000 iterations in DeFT's paper); one that the hook is given is the user's choice
            fix = {'model.warmup_iters': max(1, max_iters // 6)} if configured is None else {}
            yield with_fix(
                ValueError(
                    f'the decoder warm-up of {length} iterations is longer than the training of '
                    f'{max_iters}: max_iters counts both stages. Shorten it (a sixth of the run in '
                    'the paper), or train longer'), fix)
