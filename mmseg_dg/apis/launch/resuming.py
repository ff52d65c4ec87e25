"""How a run goes on: from which checkpoint, in which folder, by which command."""
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_dg.utils.run_lock import hold
from mmseg_dg.utils.stop_signals import STOPPED
from mmseg_dg.utils.work_dir import holds_checkpoints, refuse_to_mix

from .processes import process_number


def set_resume(cfg: Config, request: Optional[str], weights_only: bool = False,
               overwrite: bool = False) -> None:
    """``--resume`` (newest checkpoint of the work dir) or ``--resume FILE``; without it the config
    decides.

    Where the work dir has no checkpoint yet, a plain ``--resume`` starts the run as configured: so
    a job that is started again and again needs one command only.

    Args:
        cfg: Changed in place.
        request: None, ``'auto'`` or a file.
        weights_only: ``--resume-weights-only``.
        overwrite: ``--overwrite``.

    Raises:
        FileNotFoundError: FILE does not exist.
        ValueError: Options that exclude each other.
    """
    if overwrite and request is not None:
        raise ValueError('--overwrite begins again and --resume goes on: give one of them')
    if weights_only and request is None and not cfg.get('resume'):
        raise ValueError('--resume-weights-only says how to resume: give --resume or --resume '
                         'FILE as well')
    # ``overwrite`` and ``resume_weights_only`` are read by this package's checkpoint hook
    if overwrite:
        cfg.overwrite, cfg.resume = True, False
    if weights_only:
        cfg.resume_weights_only = True
    if request is None:
        return
    if request != 'auto':
        if not Path(request).is_file():
            raise FileNotFoundError(f'--resume: there is no checkpoint {request}')
        cfg.resume, cfg.load_from = True, request
    elif any(holds_checkpoints(folder) for folder in {cfg.work_dir, checkpoint_folder(cfg)}):
        # load_from=None: the newest readable one, which the runner looks for when all processes are
        # there, so that they agree
        cfg.resume, cfg.load_from = True, None
    else:
        print_log(f'--resume: no checkpoint in {cfg.work_dir} yet; starting from the '
                  'beginning', logger='current')


def checkpoint_folder(cfg: Config) -> str:
    """Where the run of a config keeps its checkpoints: the work dir, or if the checkpoint hook has
    an ``out_dir``, the folder in it that mmengine names like the work dir.
    """
    out_dir = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('out_dir')
    return cfg.work_dir if out_dir is None else os.path.join(out_dir, Path(cfg.work_dir).name)


def claim_work_dir(cfg: Config) -> None:
    """Lock the work dir and refuse to mix runs, before anything is written there; in process 0.

    Raises:
        BlockingIOError: Another run works in it.
        FileExistsError: It holds checkpoints of a run, and neither resume nor overwrite was asked
            for.
    """
    if cfg.launcher != 'none' and process_number():  # a process other than the first
        return
    hold(cfg.work_dir)
    if not cfg.get('resume') and not cfg.get('overwrite'):
        refuse_to_mix(checkpoint_folder(cfg))


def command_to_continue(words: Sequence[str], cfg: Config) -> str:
    """The command line that goes on with a run, from the one that started it.

    Args:
        words: ``sys.argv`` of tools/train.py.
        cfg: The run's config; its launcher decides what starts the processes.
    """
    # kept: words of the new command; skip: whether the next word is the value of an option that is
    # left out
    kept, skip = [], False
    options = list(words[1:])
    for place, word in enumerate(options):
        if skip:
            skip = False
        # --resume is added anew below; its FILE, if any, is the next word, if that is an existing
        # file, no option and not a config
        elif word == '--resume':
            following = options[place + 1] if place + 1 < len(options) else '-'
            skip = (not following.startswith('-') and following != cfg.filename
                    and Path(following).is_file() and not following.endswith('.py'))
        elif word not in ('--overwrite', '--resume-weights-only') and not word.startswith(
            ('--resume=', '--launcher=', '--local-rank', '--local_rank')):
            skip = word == '--launcher'
            kept += [] if skip else [word]
    # the config comes first, so that --cfg-options, which takes all words up to the next option,
    # does not take it
    config = next((i for i, word in enumerate(kept) if word.endswith('.py')), 0)
    first = [kept.pop(config)] if kept else []
    # --resume may take the next word as its FILE, and goes in front of an option
    rest = ['--resume', *kept]
    tools = Path(words[0]).parent
    # dist_train.sh CONFIG PROCESSES ..., slurm_train.sh PARTITION JOB CONFIG ...
    if cfg.launcher == 'pytorch':
        start = [
            'bash',
            str(tools / 'dist_train.sh'), *first,
            os.environ.get('LOCAL_WORLD_SIZE', '1')
        ]
    elif cfg.launcher == 'slurm':
        start = [
            'bash',
            str(tools / 'slurm_train.sh'),
            os.environ.get('SLURM_JOB_PARTITION', 'PARTITION'),
            os.environ.get('SLURM_JOB_NAME', 'JOB'), *first
        ]
    else:
        start = ['python', words[0], *first]
        rest += ['--launcher', cfg.launcher] if cfg.launcher not in ('none', None) else []
    return shlex.join([*start, *rest])


def say_how_to_continue(cfg: Config, reason: str, words: Sequence[str]) -> int:
    """Log, as the last line, the command that goes on with a stopped run.

    Args:
        cfg: Of the run.
        reason: Name of the signal that stopped it.
        words: ``sys.argv`` of tools/train.py.

    Returns:
        The exit status of a stopped run.
    """
    if not process_number():
        print_log(f'stopped by {reason}, nothing is lost (exit status {STOPPED})', logger='current')
        print_log(f'continue with: {command_to_continue(words, cfg)}', logger='current')
        # dist_train.sh names this file and ends with the status in it: torchrun ends with its own
        if os.environ.get('MMSEG_DG_STATUS_FILE'):
            Path(os.environ['MMSEG_DG_STATUS_FILE']).write_text(str(STOPPED), encoding='utf-8')
    return STOPPED
