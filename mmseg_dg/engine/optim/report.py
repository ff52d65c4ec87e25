"""What every parameter group is trained with, stage by stage, for the start of the log."""
from typing import Any

from mmengine.logging import print_log

from .schedules import ClosedForm


def schedule_lines(optimizer: Any, schedulers: Any) -> list[str]:
    """Rate and weight decay of every group at the first and last iteration of every stage.

    Args:
        optimizer: The torch optimizer that steps.
        schedulers: The run's schedulers, or None. Ours know their stages (``stages()``,
            ``group_at(index, iteration)``), and the first of them is described; of others, and
            without any, only the present values can be told.

    Returns:
        One line per stage and group.
    """
    groups = optimizer.param_groups
    schedule = next((s for s in schedulers or () if isinstance(s, ClosedForm)), None)
    if schedule is None:
        return [
            f'{_name(i, group)}: lr {group["lr"]:g} at the beginning, weight decay '
            f'{group.get("weight_decay", 0):g}' for i, group in enumerate(groups)
        ]
    lines = []
    for stage, begin, end in schedule.stages():  # end: the iteration after the last
        for i, group in enumerate(groups):
            # (rate, weight decay) of a group at an iteration
            (first, decay), (last, _) = schedule.group_at(i, begin), schedule.group_at(i, end - 1)
            # DecoderWarmupHook freezes the encoder in this stage, whatever its rate
            frozen = ' (frozen)' if stage == 'decoder warm-up' and group.get(
                'component') == 'encoder' else ''
            lines.append(f'{stage}, iterations {begin} to {end - 1}, {_name(i, group)}{frozen}: lr '
                         f'{first:g} to {last:.3g}, weight decay {decay:g}')
    return lines


def _name(index: int, group: dict) -> str:
    """A parameter group in words; ``component`` (encoder or decoder) is in groups that
    ComponentParamGroups has made.
    """
    component = f' {group["component"]}' if 'component' in group else ''
    return f'group {index}{component} ({len(group["params"])} tensors)'


def log_schedule(runner: Any) -> None:
    """Print the rates and decays in effect; called when everything that may change them has done
    so.
    """
    lines = schedule_lines(runner.optim_wrapper.optimizer, runner.param_schedulers)
    print_log('learning rate and weight decay in effect:\n  ' + '\n  '.join(lines),
              logger='current')
