"""What a checkpoint must have for a run to go on from it, and going on from weights alone."""
import difflib
import logging
from typing import Any

from mmseg_dg.datasets.traits import traits
from mmseg_dg.engine.optim.schedules import ClosedForm
from mmseg_dg.utils.checkpoint_reader import check_complete
from mmseg_dg.utils.plain_values import same_when_plain


def prepare_resume(runner: Any, checkpoint: dict, weights_only: bool) -> None:
    """Check a checkpoint that a run resumes from, before mmengine takes it apart, and complete what
    mmengine would miss in one that is taken for its weights only.

    Args:
        runner: The runner that resumes.
        checkpoint: As read; changed in place.
        weights_only: Take weights, iteration and logs only; what is missing of them begins afresh.

    Raises:
        CheckpointError: A part is missing, by name.
    """
    name = str(runner._load_from)  # mmengine's: the file that is resumed from
    if weights_only:
        for part in ('optimizer', 'param_schedulers'):
            checkpoint.pop(part, None)
        if 'state_dict' not in checkpoint:  # the file is a plain state dict
            checkpoint['state_dict'] = {key: checkpoint.pop(key) for key in list(checkpoint)}
        meta = checkpoint.setdefault('meta', {})
        # whether the file says its iteration (a bool is no count)
        has_iter = type(meta.get('iter')) is int
        meta['iter'], meta['epoch'] = meta.get('iter') if has_iter else 0, meta.get('epoch') or 0
        # mmengine restores the hub from this entry: an empty log
        checkpoint.setdefault('message_hub', dict(log_scalars={}, runtime_info={}, resumed_keys={}))
        runner.logger.info(f'--resume-weights-only: weights of {name}, '
                           + (f'iteration {meta["iter"]}' if has_iter else 'iteration 0 (the file '
                              'has none)') + '; optimizer begins afresh')
    else:
        check_complete(checkpoint, name)
        report_changes(runner, checkpoint['meta'])
        report_kept_schedules(runner, checkpoint.get('param_schedulers'))
    dataset_meta = traits(runner.train_dataloader.dataset).metainfo or None
    if same_when_plain(dataset_meta, checkpoint['meta'].get('dataset_meta')):
        # The file has plain values (lists for tuples), and mmengine compares pickles: it would say
        # that the dataset differs although the values are the same.
        checkpoint['meta']['dataset_meta'] = dataset_meta


def report_changes(runner: Any, meta: dict) -> None:
    """Warn where a run goes on under other settings than those the checkpoint was written under.

    A longer schedule or another machine's paths are meant; another row of a config is a slip that
    nothing else would show.

    Args:
        runner: The runner that resumes.
        meta: Of the checkpoint; ``cfg`` is the text of its config, as mmengine writes it.
    """
    changes = changed_lines(meta.get('cfg'), runner.cfg.pretty_text)
    if changes:
        runner.logger.log(
            logging.WARNING,
            f'resumed under other settings than the checkpoint was written under ({len(changes)} '
            f'lines of the config, - then, + now): {"  ".join(changes[:12])}' +
            ('  ...' if len(changes) > 12 else ''))


#: Settings of a start, not of a training: beginnings of lines of a config's text.
_OF_A_START = ('work_dir', 'resume', 'load_from', 'launcher', 'filename', 'overwrite')


def changed_lines(before: Any, now: str) -> list[str]:
    """Lines of two configs' texts that differ, ``-`` before those that are gone and ``+`` before
    the new ones; [] where ``before`` is no text.
    """
    if not isinstance(before, str):
        return []
    old, new = ([
        line.strip().rstrip(',') for line in text.splitlines() if not line.startswith(_OF_A_START)
    ] for text in (before, now))
    changed = [
        line for line in difflib.unified_diff(old, new, n=0, lineterm='')
        if line[:1] in '+-' and line[:3] not in ('+++', '---')  # not the heads of the diff
    ]
    gone, come = ({line[1:] for line in changed if line[0] == sign} for sign in '-+')
    both = gone & come  # lines that only moved
    return [line for line in changed if line[1:] not in both]


#: Where a schedule is, not what it is: parts of the state of mmengine's schedules.
_PROGRESS = ('last_step', 'best', 'num_bad_epochs', 'cooldown_counter')


def report_kept_schedules(runner: Any, states: Any) -> None:
    """Warn of schedules that will not follow this run's config.

    mmengine takes a schedule out of the checkpoint with its settings: a finished run that is made
    longer keeps the rate it ended with. Schedules of this package follow the config
    (:func:`follow_new_schedule`).

    Args:
        runner: The runner that resumes; its schedules are those of its config yet.
        states: ``param_schedulers`` of the checkpoint: a state per schedule in a list, or with
            several optimizers a dict of lists.
    """
    for schedule, state in zip(_in_a_row(runner.param_schedulers), _in_a_row(states)):
        if isinstance(schedule, ClosedForm):
            continue
        changed = [
            f'{key}={state[key]}, not {value}' for key, value in schedule.state_dict().items()
            if key in state and key not in _PROGRESS and not key.startswith('_')
            and not callable(value) and not same_when_plain(value, state[key])
        ]
        if changed:
            runner.logger.warning(
                f'{type(schedule).__name__} goes on as the checkpoint has it ({"; ".join(changed)})'
                ': the learning rate does not follow this config. WarmupPolyLR and the other '
                'schedules of mmseg_dg do; --resume-weights-only takes it from the config')


def _in_a_row(schedules: Any) -> list:
    """Schedules, or their states, of all optimizers: a list, a dict of lists by optimizer, or
    None.
    """
    if isinstance(schedules, dict):
        return [schedule for of_one in schedules.values() for schedule in of_one]
    return list(schedules or ())


def follow_new_schedule(runner: Any) -> None:
    """Let the first iteration after a resume have the rate that this run's config gives it.

    The optimizer comes back with the rate of the checkpoint, which is 0 at the end of a finished
    run. A schedule that is a closed form of the iteration knows what the rate is now: the same
    number where the length of the run is the same. Of others :func:`report_kept_schedules` warns.
    """
    for scheduler in _in_a_row(runner.param_schedulers):
        if isinstance(scheduler, ClosedForm):
            scheduler.write()


def finish_weights_only(runner: Any) -> None:
    """Move the schedules of a new optimizer to the iteration that the weights are of.

    This package's schedules, which are closed forms of the iteration, jump there; others are
    stepped so often.
    """
    done = runner.iter
    for scheduler in (runner.param_schedulers or ()) if done > 0 else ():
        untyped: Any = scheduler  # mmengine's schedules have no types
        if isinstance(scheduler, ClosedForm):
            # mmengine's counts of iteration and steps: moved to one before, from where step() leads
            # to the iteration of the weights and sets the rate
            untyped.last_step += done - 1
            untyped._global_step += done - 1
            untyped.step()
        else:
            for _ in range(done):
                scheduler.step()
