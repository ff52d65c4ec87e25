"""Log folders of a work dir: each start of a training leaves one, and not all of them count.

A start is named by its date and time. A training that is thrown away (``--overwrite``) leaves its
logs, and one that is resumed from an earlier checkpoint does iterations again.
"""
import ast
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def counted_logs(folder: Path) -> list[Path]:
    """The log folders of the run whose checkpoints lie in a work dir, oldest first; empty where
    there are none, or there is no such folder.

    Each start leaves one, named by date and time, and they stay when a run is thrown away
    (``--overwrite``): those before the last training that began anew are of other runs. Such a
    start has ``resume = False`` in the config it dumped, and has logged or evaluated an iteration
    (one that was refused has not, and a test trains nothing).
    """
    if not Path(folder).is_dir():
        return []
    logs = sorted((path for path in Path(folder).iterdir() if path.is_dir() and _is_log(path)),
                  key=_time_of)
    anew = [i for i, log in enumerate(logs) if _began_anew(log)]
    return logs[anew[-1]:] if anew else logs


def _began_anew(log: Path) -> bool:
    """Whether a start trained from the beginning: what its dumped config says of ``resume`` or,
    where that was written by hand, ``overwrite``.
    """
    resumed, overwrote = dumped_setting(log, 'resume'), dumped_setting(log, 'overwrite')
    anew = resumed is False or (overwrote is True and resumed is None)
    return anew and bool(iterations_of(log))


def _time_of(log: Path) -> tuple[str, str]:
    """What orders log folders: the time in the name of mmengine's log file, which stays where
    somebody renamed the folder, else the folder's name.
    """
    files = sorted(path.stem for path in log.glob('[0-9]*_[0-9]*.log'))
    return (files[0] if files else log.name), log.name


def _is_log(folder: Path) -> bool:
    """Whether a folder of a work dir is that of a start: by its name or, where somebody renamed it,
    by what a start writes.
    """
    return bool(re.fullmatch(r'\d{8}_\d{6}.*', folder.name)) or any(
        next(folder.glob(name), None) is not None
        for name in ('vis_data', 'evaluation_*.csv', 'drives_*.npz', 'run.json'))


def overtaken_from(logs: Sequence[Path]) -> list[float]:
    """For each log folder, oldest first, the iteration from which on a later start did the
    training again: what it says of that and later ones does not count. ``inf`` without one.
    """
    ends: list[float] = []
    end = math.inf
    for log in reversed(logs):
        ends.append(end)
        end = min([end, *iterations_of(log)])
    return ends[::-1]


def iterations_of(log: Path) -> set[int]:
    """Iterations that a log folder has losses or an evaluation of; empty for a test and for a
    start that ended before."""
    evaluated = (re.fullmatch(r'evaluation_iter_(\d+)', path.stem)
                 for path in log.glob('evaluation_iter_*.csv'))
    # an evaluation without a training has the iteration 0
    return {int(line['iter'])
            for line in logged_lines(log) if 'iter' in line
            } | {int(found.group(1))
                 for found in evaluated if found and int(found.group(1)) > 0}


def dumped_setting(log: Path, key: str) -> Any:
    """A plain setting (text, truth value or None) at the top of the config that a start dumped;
    None where it has none. Its text is searched, which is faster than building the config.
    """
    path = log / 'vis_data' / 'config.py'
    text = path.read_text(encoding='utf-8') if path.is_file() else ''
    found = re.search(rf'^{key} = (True|False|None|\'.*\'|".*")$', text, flags=re.MULTILINE)
    return ast.literal_eval(found.group(1)) if found else None


def files_by_iteration(folder: Path, pattern: str) -> dict[int, Path]:
    r"""``{iteration: file}`` of what the training in a work dir has written per iteration,
    ascending: what was thrown away (:func:`counted_logs`) or done again (:func:`overtaken_from`)
    does not count.

    Args:
        folder: The work dir.
        pattern: Regular expression of the whole file name, whose only group is the iteration, such
            as ``r'evaluation_iter_(\d+)\.csv'``.
    """
    logs = counted_logs(folder)
    found = {
        int(match.group(1)): path
        for log, end in zip(logs, overtaken_from(logs))
        for path in log.iterdir()
        if (match := re.fullmatch(pattern, path.name)) and int(match.group(1)) < end
    }
    return dict(sorted(found.items()))


def logged_lines(log: Path) -> list[dict]:
    """The lines of a log folder's ``scalars.json``, those of training steps with a key ``iter``."""
    path, lines = log / 'vis_data' / 'scalars.json', []
    for line in path.read_text(encoding='utf-8').splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:  # the last line of a killed run
            continue
    return lines
