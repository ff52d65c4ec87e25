"""What a checkpoint must have for a run to go on from it, and going on from weights alone."""
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
    dataset_meta = traits(runner.train_dataloader.dataset).metainfo or None
    if same_when_plain(dataset_meta, checkpoint['meta'].get('dataset_meta')):
        # The file has plain values (lists for tuples), and mmengine compares pickles: it would say
        # that the dataset differs although the values are the same.
        checkpoint['meta']['dataset_meta'] = dataset_meta


def follow_new_schedule(runner: Any) -> None:
    """Let the first iteration after a resume have the rate that this run's config gives it.

    The optimizer comes back with the rate of the checkpoint, which is 0 at the end of a finished
    run. A schedule that is a closed form of the iteration knows what the rate is now: the same
    number where the length of the run is the same.
    """
    schedulers = runner.param_schedulers or ()
    if isinstance(schedulers, dict):  # several optimizers: {name: its schedulers}
        schedulers = [scheduler for of_one in schedulers.values() for scheduler in of_one]
    for scheduler in schedulers:
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
