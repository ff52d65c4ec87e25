"""Everything that can be found in the config of a training before its data is loaded, in one
report.
"""
import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from mmengine.logging import print_log

from .configs import stream_config_problems
from .domains import domain_problems, remaining_domains, save_best_problems
from .encoder import encoder_problems, weight_problems
from .engine import check_method
from .hooks import hook_problems
from .margins import margin_problems
from .paste import lines_to_paste
from .problems import Problems, fix_of
from .schedules import length_problems, optimizer_problems, schedule_problems
from .streams import stream_name_problems


@runtime_checkable
class ChecksStreams(Protocol):
    """A runner for methods with certain streams (``UDARunner``)."""
    def check_streams(self, dataloader: dict) -> None:
        """ValueError for other names than its own."""


def config_problems(runner: Any, method: Any, streams: dict[str, dict],
                    length: Mapping) -> Problems:
    """What is wrong with a training's config: streams, domains, weights, hooks, optimizer,
    schedules, lengths.

    Called by the training loop when it is built, which is before optimizer, schedules and
    validation are: a user gets one report instead of one error per start.

    Args:
        runner: With config, hooks and model.
        method: The model that is trained.
        streams: ``train_dataloader``, dataloader configs by name.
        length: ``max_iters``, ``max_epochs`` and ``accumulate`` of the loop.

    Returns:
        The problems found; ``broken_streams`` of it names the streams that cannot be built.
    """
    cfg = runner.cfg
    filename = cfg.filename
    problems = Problems(filename)
    max_iters = length.get('max_iters') or 0
    trains = problems.check(check_method, method)
    if trains:
        if isinstance(runner, ChecksStreams):
            problems.check(runner.check_streams, streams)
        problems.gather(stream_name_problems, method, tuple(streams), filename)
    # streams that the method does not read: the advised lines of config switch them off
    off = [name for name in streams if f'train_dataloader.{name}' in problems.fix()]
    problems.broken_streams.update(off)
    for name, config in streams.items():
        if name not in off and not problems.gather(stream_config_problems, name, config):
            problems.broken_streams.add(name)
    problems.gather(length_problems, length, filename)
    problems.gather(domain_problems, cfg, 'val', filename)
    problems.gather(save_best_problems, runner.hooks, remaining_domains(cfg, filename))
    problems.gather(weight_problems, cfg.get('model'))
    if trains:
        problems.gather(hook_problems, runner, method, max_iters)
        problems.gather(margin_problems, method, streams)
        problems.gather(encoder_problems, runner, method)
    problems.gather(optimizer_problems, cfg.get('optim_wrapper'))
    needed = method.required_hooks if trains else ()
    hooks = [type(hook).__name__ for hook in runner.hooks] + list(needed)
    problems.gather(schedule_problems, cfg.get('param_scheduler'), max_iters, hooks)
    _add_test_problems(problems, cfg, filename)
    return problems


def _add_test_problems(problems: Problems, cfg: Any, filename: Any) -> None:
    """What a test after the training would stumble over: reported with other problems, else said in
    the log.
    """
    later = Problems(filename)  # of the test, kept apart from those of the training
    later.gather(domain_problems, cfg, 'test', filename)
    if problems.errors:
        for error in later.errors:
            problems.add(error)
        return
    for error in later.errors:
        print_log(
            f'the training can run, but a test with this config could not: {error}'
            f'{lines_to_paste(fix_of(error), filename)}', logger='current', level=logging.WARNING)
