"""What a work dir says about its run: scalars, evaluations, pictures, settings, environment;
nothing is run.
"""
import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmengine.config import Config

#: Columns of an evaluation's CSV that are no scores.
_NOT_SCORES = ('domain', 'images', 'role', 'selects_checkpoint', 'note')


@dataclass
class Evaluation:
    """One evaluation of a run.

    Attributes:
        name: ``iter_2000`` or ``test``.
        iteration: 2000, or None for a test.
        path: Its CSV file.
        domains: ``{domain: {metric: percent}}``, as in the file; the mean over domains is the
            domain ``mean``.
        images: Number of images by domain.
    """
    name: str
    iteration: Optional[int]
    path: Path
    domains: dict[str, dict[str, float]]
    images: dict[str, int]

    @property
    def material(self) -> Path:
        """Folder of the pictures and tables that belong to it (it may not exist)."""
        return self.path.parent / 'report' / self.name


@dataclass
class RunRecord:
    """A work dir.

    Attributes:
        folder: The work dir.
        title: What the report calls the run.
        scalars: ``{name: [(iteration, value), ...]}`` of training, of all its log folders; where a
            run was resumed, the later values of an iteration count.
        evaluations: Oldest first; a test comes last.
        config: The dumped config, None where there is none.
        step_pictures: Pictures of training steps, oldest first.
        environment: Lines about machine and versions that the log has.
    """
    folder: Path
    title: str
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    config: Optional[Config] = None
    step_pictures: list[Path] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)

    @property
    def newest(self) -> Optional[Evaluation]:
        """The last evaluation."""
        return self.evaluations[-1] if self.evaluations else None


def read_run(folder: Path, title: Optional[str] = None) -> RunRecord:
    """Read a work dir.

    Args:
        folder: A work dir of ``tools/train.py`` or ``tools/test.py``, or a folder of
            ``mmseg_dg.adapt``, which has its work dir in ``run``.
        title: Name in the report; the folder's name by default.

    Raises:
        FileNotFoundError: No such folder, or no run in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'no work dir at {folder}')
    logs = _log_folders(folder)
    if not logs and (folder / 'run').is_dir():
        title, folder = title or folder.name, folder / 'run'
        logs = _log_folders(folder)
    if not logs:
        here = sorted(path.name for path in folder.iterdir())[:6]
        raise FileNotFoundError(f'{folder} holds no run: a work dir has folders named by date and '
                                f'time (20261130_101500), this one has {here or "nothing"}. Give '
                                'the --work-dir of a training or a test')
    record = RunRecord(folder, title or folder.name)
    record.scalars = _scalars(logs)
    # by iteration, then by start; tests, which have no iteration, come last
    record.evaluations = sorted((e for log in logs for e in _evaluations(log)), key=lambda e:
                                (e.iteration is None, e.iteration or 0, e.path.parent.name))
    record.config = _config(folder, logs)
    record.step_pictures = sorted(
        (p for log in logs for p in (log / 'vis_data' / 'vis_image').glob('training_*.png')),
        key=lambda p: (p.parent, _number(p.stem), p.stem))
    record.environment = _environment(logs[-1])
    return record


def _log_folders(folder: Path) -> list[Path]:
    """The folders named by date and time that each start of a run leaves in its work dir."""
    return sorted(path for path in folder.iterdir()
                  if path.is_dir() and re.fullmatch(r'\d{8}_\d{6}.*', path.name))


def _number(stem: str) -> int:
    """The number at the end of a file name such as ``training_0_400``, the iteration; 0 without
    one.
    """
    found = re.search(r'_(\d+)$', stem)
    return int(found.group(1)) if found else 0


def _scalars(logs: list[Path]) -> dict[str, list[tuple[int, float]]]:
    """Name -> (iteration, value) of the logged numbers; a later log of a resumed run counts."""
    found: dict[str, dict[int, float]] = {}
    for log in logs:
        path = log / 'vis_data' / 'scalars.json'
        for line in path.read_text(encoding='utf-8').splitlines() if path.is_file() else ():
            try:
                values = json.loads(line)
            except json.JSONDecodeError:  # the last line of a killed run
                continue
            step = values.get('iter', values.get('step'))
            for key, value in values.items():
                # the logs come oldest first: a later value of an iteration replaces an earlier one
                if isinstance(
                        value,
                    (int, float)) and key not in ('iter', 'step', 'epoch') and step is not None:
                    found.setdefault(key, {})[int(step)] = float(value)
    return {key: sorted(points.items()) for key, points in found.items()}


def _evaluations(log: Path) -> list[Evaluation]:
    """What the tables of scores (``evaluation_*.csv``) in a folder of logs say."""
    found = []
    for path in log.glob('evaluation_*.csv'):
        name = path.stem[len('evaluation_'):]
        number = re.fullmatch(r'iter_(\d+)', name)
        with open(path, encoding='utf-8', newline='') as file:
            rows = list(csv.DictReader(file))
        domains = {
            row['domain']: {
                key: float(value)
                for key, value in row.items() if key not in _NOT_SCORES and value not in ('', None)
            }
            for row in rows
        }
        images = {row['domain']: int(row['images']) for row in rows if row.get('images')}
        found.append(
            Evaluation(name,
                       int(number.group(1)) if number else None, path, domains, images))
    return found


def _config(folder: Path, logs: list[Path]) -> Optional[Config]:
    """The config of a work dir's newest start (``logs``, oldest first) that has left one, else a
    ``*.py`` of the work dir; None without any.
    """
    dumped = [log / 'vis_data' / 'config.py' for log in reversed(logs)]
    candidates = [*dumped, *sorted(folder.glob('*.py'))]
    path = next((path for path in candidates if path.is_file()), None)
    return None if path is None else Config.fromfile(path, lazy_import=False,
                                                     import_custom_modules=False)


def _environment(log: Path) -> list[str]:
    """The lines of the table that mmengine writes about the machine at the beginning of a log, from
    the first log file of a folder; empty without one.
    """
    path = next(iter(sorted(log.glob('*.log'))), None)
    if path is None:
        return []
    lines, inside = [], False
    with open(path, encoding='utf-8', errors='replace') as file:
        for line in file:
            if line.startswith('System environment'):
                inside = True
            elif inside and line.startswith('---'):
                break
            elif inside and re.match(r'\s+[\w ]+: ', line):
                lines.append(line.strip())
    return lines


def flat_settings(node: Any, prefix: str = '') -> dict[str, str]:
    """Every leaf of a config as ``{dotted key: text}``; ``prefix``, the key of ``node``, ends with
    a dot.
    """
    items: Iterable[tuple[Any, Any]]
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, (list, tuple)) and any(isinstance(v, (dict, list)) for v in node):
        items = enumerate(node)
    else:  # lists of plain values are leaves
        return {prefix[:-1]: repr(node)}
    return {
        key: text
        for name, value in items
        for key, text in flat_settings(value, f'{prefix}{name}.').items()
    }


def differing_settings(configs: list[Optional[Config]]) -> dict[str, list[str]]:
    """Settings that are not the same in all configs, ``{key: [text per config]}``; ``-`` where a
    config lacks it.
    """
    # ``_cfg_dict``: the content of mmengine's Config
    flat = [flat_settings(c._cfg_dict.to_dict()) if c is not None else {} for c in configs]
    keys = sorted(set().union(*flat)) if flat else []
    ignored = ('work_dir', 'visualizer.save_dir')
    return {
        key: [f.get(key, '-') for f in flat]
        for key in keys if len({f.get(key)
                                for f in flat}) > 1 and key not in ignored
    }


def read_confusion(path: Path) -> tuple[list[str], np.ndarray]:
    """Class names and pixel counts (C, >= C) of a ``confusion.csv``: a header, then a line per true
    class with its name and its pixels by predicted class.
    """
    with open(path, encoding='utf-8', newline='') as file:
        rows = list(csv.reader(file))[1:]
    return [row[0] for row in rows], np.array([[int(v) for v in row[1:]] for row in rows], np.int64)
