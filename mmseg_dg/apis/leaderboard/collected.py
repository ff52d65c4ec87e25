"""A row of a training that no leaderboard has started: read from its work dir alone."""
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

from mmseg_dg.apis.config_rows import ORIGIN, find_config, run_name
from mmseg_dg.apis.encoder_report import encoder_report
from mmseg_dg.apis.launch import RECORD
from mmseg_dg.apis.row_configs import load_config
from mmseg_dg.apis.study import read_record
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.run_logs import counted_logs, iterations_of

from .rows import (
    COST,
    SCHEMA,
    below_configs,
    commits_of,
    evaluations_of,
    score_fields,
)
from .scores import scored_domains
from .suite import images_per_step

#: Keys of a dumped config that are about where a run lies and how it was continued, not about what
#: it trains.
_PLACES = ('work_dir', 'launcher', 'resume', 'overwrite', 'resume_weights_only', 'experiment_name',
           'visualizer.name', f'{ORIGIN}.')
#: What the header of mmengine's log calls it -> name in a row.
_VERSIONS = {'Python': 'python', 'PyTorch': 'torch', 'MMEngine': 'mmengine'}
_HEADER = {**_VERSIONS, 'seed': 'seed', 'GPU number': 'processes'}


def collected_row(folder: Path, score: Optional[str] = None, arm: Optional[str] = None,
                  control: Optional[str] = None, commit: Optional[str] = None,
                  command: Optional[str] = None, encoder: bool = False) -> dict[str, Any]:
    """The row of a finished run of tools/train.py; its fields are those of the leaderboard's rows,
    with ``wall_seconds`` and ``command_from``.

    What the run has recorded of itself (``run.json``) is taken first. Runs of earlier versions have
    none: then versions are those in the log, and the command is what the config of the work dir
    differs in from the package's.

    Args:
        folder: Work dir.
        score: Key of the row's score; None: ``mean/mIoU``, or the first domain's mIoU.
        arm: Name of the row; None: config and row (lists of labels are a field of their own).
        control: Name of the arm it is compared with.
        commit: Of the sources; needed where nothing was recorded.
        command: As ``commit``; None: recorded or derived.
        encoder: Load the newest checkpoint and say how far its encoder moved
            (:func:`mmseg_dg.apis.encoder_report.encoder_report`).

    Raises:
        ValueError: The run has not ended, has no such score, or nothing says its command.
        FileNotFoundError: There is no run.
    """
    folder = Path(folder)
    cfg = read_config_file(config_of(folder))
    evaluations, steps = evaluations_of(folder), int(cfg.train_cfg['max_iters'])
    if not evaluations or max(evaluations) < steps:
        raise ValueError(f'{folder} has not ended: its last evaluation is at iteration '
                         f'{max(evaluations, default=0)} of {steps}')
    # in the order of time: folders are named by it
    attempts = [
        _Attempt(log) for path in counted_logs(folder) for log in sorted(path.glob('*.log'))
    ]
    # a test in the work dir of its training leaves a log, too
    attempts = [attempt for attempt in attempts if iterations_of(attempt.folder)] or attempts
    recorded = [attempt.record for attempt in attempts if attempt.record]
    if command is not None:
        source = 'given'
    elif recorded:
        command, source = clean_command(recorded[0]['command'], folder.name), 'recorded'
    else:
        command, source = derived_command(cfg, folder.name), 'config'
    config, options = _parts_of(command)
    origin, seed = cfg.get(ORIGIN) or {}, (cfg.get('randomness') or {}).get('seed')
    # of all processes, which the log calls GPUs also without one; batch sizes are per process
    processes = int(attempts[-1].header.get('processes', 1)) if attempts else 1
    images = images_per_step(cfg) * processes
    score = score or _main_score(evaluations[max(evaluations)])
    return dict(
        schema=SCHEMA, arm=arm or _arm_of(cfg), method=cfg.model.type, encoder=_encoder(cfg),
        control=control, seed=seed if seed is not None else attempts[-1].header.get('seed'),
        config=config, row=origin.get('row'), subset=origin.get('subset'), options=options,
        fingerprint=None, command=command, command_from=source, processes=processes, commit=commit
        or commits_of(recorded),
        versions=recorded[-1]['versions'] if recorded else attempts[-1].versions,
        budget=dict(steps=steps, images_per_step=images, images_before=0, images=steps * images),
        **score_fields(folder, score, steps, scored_domains(cfg, score)), **_cost(folder, attempts),
        **(_encoder_fields(folder, score) if encoder else {}))


class _Attempt:
    """One start of a training: its log, and ``run.json`` beside it.

    Args:
        log: The log file.

    Attributes:
        folder: Where the log lies.
        record: Contents of ``run.json``; {} where there is none.
        header: Versions, seed and number of processes that the log begins with, by the names of a
            row.
        logged_seconds: Between the first and the last line of the log.
    """
    def __init__(self, log: Path) -> None:
        self.folder = log.parent
        text = log.read_text(encoding='utf-8', errors='replace')
        self.record = read_record(log.parent / RECORD, needs='command')
        self.header = {
            ours: found.group(1)
            for theirs, ours in _HEADER.items()
            if (found := re.search(rf'^ *{theirs}: (\S+)', text, re.M))
        }
        # lines begin with '2024/01/31 12:00:00 - '
        times = re.findall(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', text, re.M)
        moments = [datetime.strptime(time, '%Y/%m/%d %H:%M:%S') for time in times]
        self.logged_seconds = (moments[-1] - moments[0]).total_seconds() if moments else 0.

    @property
    def versions(self) -> dict[str, str]:
        """Versions that the log's header names: of Python, PyTorch, MMEngine."""
        return {name: self.header[name] for name in _VERSIONS.values() if name in self.header}


def config_of(folder: Path) -> Path:
    """The complete config a work dir was trained with, which mmengine dumped into it; the last by
    name where there are several.

    Raises:
        FileNotFoundError: There is none.
    """
    found = sorted(folder.glob('*.py')) or sorted(folder.glob('*/vis_data/config.py'))
    if not found:
        raise FileNotFoundError(f'{folder} is no work dir of a training: it holds no config')
    return found[-1]


def _arm_of(cfg: Config) -> str:
    """The default name of a row: the config's name and its row, without the subset."""
    origin = cfg.get(ORIGIN) or {}
    return run_name(origin.get('config') or Path(cfg.filename).stem, origin.get('row'))


def _main_score(last: Mapping[str, float]) -> str:
    """The score that is judged by where none is given, from the metrics of the last evaluation:
    the mean mIoU, else the first domain's; ValueError for neither.
    """
    if 'mean/mIoU' in last:
        return 'mean/mIoU'
    found = [key for key in last if key.endswith('/mIoU')]
    if not found:
        raise ValueError(f'no evaluation has a mIoU, only {sorted(last)[:8]}: give --score')
    return found[0]


def _encoder_fields(folder: Path, score: str) -> dict[str, Any]:
    """Fields of a row about the encoder (:func:`mmseg_dg.apis.encoder_report.encoder_report`),
    probed on the first domain of the score.

    The config is that of the first attempt: resuming replaces ``load_from``, which says what the
    training began with.
    """
    configs = sorted(folder.glob('*/vis_data/config.py'))
    cfg = read_config_file(configs[0] if configs else config_of(folder))
    return encoder_report(cfg, folder, scored_domains(cfg, score)[0])


def _encoder(cfg: Config) -> str:
    """The type of the encoder's class; '' for a model without one."""
    network = cfg.model.get('network') or cfg.model
    return str((network.get('backbone') or {}).get('type', ''))


def _cost(folder: Path, attempts: Sequence[_Attempt]) -> dict[str, Any]:
    """Fields of a row about the cost of all attempts.

    Returns:
        ``cpu_seconds`` (None where an attempt was killed or has recorded nothing),
        ``cpu_seconds_complete`` (whether every attempt is in it) and ``wall_seconds``.
    """
    # what a leaderboard has measured, {} where none started the run
    measured = read_record(folder / COST, needs='seconds')
    seconds = [attempt.record.get('cpu_seconds') for attempt in attempts]
    all_recorded = bool(seconds) and None not in seconds
    wall = sum(attempt.record.get('wall_seconds') or attempt.logged_seconds for attempt in attempts)
    if measured:  # whole processes; an attempt that was not measured leaves the sum incomplete
        complete = measured['started'] == measured['measured']
        return dict(cpu_seconds=measured['seconds'], cpu_seconds_complete=complete,
                    wall_seconds=wall)
    return dict(cpu_seconds=sum(seconds) if all_recorded else None,
                cpu_seconds_complete=all_recorded, wall_seconds=wall)


# ------------------------------------------------------------------ the command
def clean_command(words: Sequence[str], name: str) -> str:
    """The command of a run as anybody can type it: no paths of this machine, nothing about how it
    was continued.

    Args:
        words: ``sys.argv`` of tools/train.py.
        name: Of the work dir.
    """
    kept, before = ['python', 'tools/train.py'], ''  # before: the word in front of this one
    for word in words[1:]:
        if before == '--work-dir':
            kept.append(f'work_dirs/{name}')
        elif word.startswith('--work-dir='):
            kept += ['--work-dir', f'work_dirs/{name}']
        elif before == '--resume' and word.endswith('.pth'):
            pass  # the file to resume from
        elif not word.startswith('--resume') and word != '--overwrite':
            kept.append(_without_folders(word))
        before = word
    return shlex.join(kept)


def _parts_of(command: str) -> tuple[str, list[str]]:
    """Config and ``KEY=VALUE`` options of a command; ``''`` and none where it has none."""
    words = shlex.split(command)
    configs = [word for word in words if word.endswith('.py') and not word.endswith('train.py')]
    options: list[str] = []
    if '--cfg-options' in words:
        for word in words[words.index('--cfg-options') + 1:]:
            if word.startswith('--'):
                break
            options.append(word)
    return configs[0] if configs else '', options


def _without_folders(word: str) -> str:
    """A word of a command without folders of this machine: of an absolute path, also behind
    ``KEY=``, and of a config only what is from ``configs`` on, or else the file's name.
    """
    key, sign, value = word.rpartition('=')  # key and sign are '' for a word without =
    if not value.startswith('/'):
        return below_configs(Path(word)) if word.endswith('.py') else word
    return f'{key}{sign}{below_configs(Path(value))}'


def differences(cfg: Config) -> tuple[str, list[str]]:
    """What the config of a work dir differs in from the package's of the same name.

    Returns:
        The package's config, ``configs/...``, and ``KEY=VALUE`` options.

    Raises:
        ValueError: The package has no such config, or options cannot say the difference.
    """
    origin = cfg.get(ORIGIN) or {}
    try:
        path = find_config(origin.get('config') or Path(cfg.filename).stem)
    except FileNotFoundError as error:
        raise ValueError(f'{cfg.filename}: {error} Nothing recorded its command: give '
                         '--command') from error
    base = load_config(path, origin.get('row'), origin.get('subset'))
    # ``_cfg_dict``: the settings of mmengine's Config alone, as a dict
    ours, theirs = _flat(cfg._cfg_dict.to_dict()), _flat(base._cfg_dict.to_dict())
    # resuming writes a ``load_from`` of its own
    skipped = (*_PLACES, 'load_from') if cfg.get('resume') else _PLACES
    changed = [
        key for key in sorted({*ours, *theirs}) if not f'{key}.'.startswith(skipped)
        and _portable(ours.get(key)) != _portable(theirs.get(key)) and key != 'randomness.seed'
    ]
    # an option cannot remove a key, nor set a value with dicts in it
    lost = [key for key in changed if key not in ours or '{' in repr(ours[key])]
    if lost:
        raise ValueError(f'{cfg.filename} differs from {path.name} in {lost[:5]}, which no option '
                         'can say: give --command')
    seed = (cfg.get('randomness') or {}).get('seed')
    return below_configs(
        path.resolve()), [*(f'{key}={ours[key]}' for key in changed), f'randomness.seed={seed}']


def derived_command(cfg: Config, name: str) -> str:
    """The command of a run that has not recorded it, from its config and the name of its work dir.

    Raises:
        ValueError: See :func:`differences`.
    """
    base, options = differences(cfg)
    origin = cfg.get(ORIGIN) or {}
    variant = [
        word for key in ('row', 'subset') if origin.get(key) for word in (f'--{key}', origin[key])
    ]
    return shlex.join([
        'python', 'tools/train.py', base, '--work-dir', f'work_dirs/{name}', *variant,
        '--cfg-options', *map(_without_folders, options)
    ])


def _flat(settings: Mapping, prefix: str = '') -> dict[str, Any]:
    """Nested settings by dotted key, each behind ``prefix``; lists and empty dicts are values."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found.update(_flat(value, f'{prefix}{key}.'))
        else:
            found[f'{prefix}{key}'] = value
    return found


def _portable(value: Any) -> Any:
    """A setting as text to compare, in which absolute paths begin at ``/configs/`` or ``/shared/``:
    two checkouts lie in different folders.
    """
    text = json.dumps(value, default=str, sort_keys=True)
    return re.sub(r'"/[^"]*?/(configs|shared)/', r'"\1/', text)
