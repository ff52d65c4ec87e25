"""What a work dir says about its run: scalars, evaluations, pictures, settings, environment;
nothing is run.
"""
import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmengine.config import Config

from mmseg_dg.utils.run_logs import (
    counted_logs,
    dumped_setting,
    iterations_of,
    logged_lines,
    overtaken_from,
)

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
        checkpoint: File name of the weights that a test read; '' for a validation, and where the
            log does not say.
    """
    name: str
    iteration: Optional[int]
    path: Path
    domains: dict[str, dict[str, float]]
    images: dict[str, int]
    checkpoint: str = ''

    @property
    def label(self) -> str:
        """``iter 2000``, ``test``, ``test of best_mean_mIoU_iter_2000.pth``."""
        name = self.name.replace('_', ' ')
        return f'{name} of {self.checkpoint}' if self.checkpoint else name

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
            run was resumed, the later start counts from its first iteration on.
        evaluations: In the order in which they were made.
        config: The dumped config of the newest start that trained, else of the newest start; None
            where there is none.
        step_pictures: Pictures of training steps, oldest first.
        environment: Lines about machine and versions that the log has.
        trained: Log folder of the newest start that logged an iteration; None where none did.
    """
    folder: Path
    title: str
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    config: Optional[Config] = None
    step_pictures: list[Path] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    trained: Optional[Path] = None

    @property
    def newest(self) -> Optional[Evaluation]:
        """The last evaluation."""
        return self.evaluations[-1] if self.evaluations else None


def domains_of(records: Sequence[RunRecord]) -> list[str]:
    """The domains of the newest evaluations of all runs, each once."""
    return list(
        dict.fromkeys(domain for record in records if record.newest
                      for domain in record.newest.domains))


def read_run(folder: Path, title: Optional[str] = None) -> RunRecord:
    """Read a work dir.

    Only the run whose checkpoints lie there counts (:func:`counted_logs`), and where a start went
    on from an earlier iteration, what the starts before it did beyond that iteration does not.

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
    logs = counted_logs(folder)
    if not logs and (folder / 'run').is_dir():
        title, folder = title or folder.name, folder / 'run'
        logs = counted_logs(folder)
    if not logs:
        here = sorted(path.name for path in folder.iterdir())[:6]
        raise FileNotFoundError(f'{folder} holds no run: a work dir has folders named by date and '
                                f'time (20261130_101500), this one has {here or "nothing"}. Give '
                                'the --work-dir of a training or a test')
    record = RunRecord(folder, title or folder.name)
    ends = overtaken_from(logs)
    record.scalars = _scalars(logs, ends)
    # in the order of time: logs are sorted by their start; a test in the log folder of its
    # training comes after it
    record.evaluations = [
        e for log, end in zip(logs, ends)
        for e in sorted(_evaluations(log), key=lambda e: (e.iteration is None, e.iteration or 0))
        if e.iteration is None or e.iteration < end
    ]
    trained = [log for log in logs if iterations_of(log)]
    record.trained = trained[-1] if trained else None
    # a test dumps its own config, which loads a checkpoint and trains nothing
    record.config = _config(folder, [*(log for log in logs if log not in trained), *trained])
    record.step_pictures = sorted(
        (p for log in logs for p in (log / 'vis_data' / 'vis_image').glob('training_*.png')),
        key=lambda p: (p.parent, _number(p.stem), p.stem))
    record.environment = _environment(logs[-1])
    return record


def _number(stem: str) -> int:
    """The number at the end of a file name such as ``training_0_400``, the iteration; 0 without
    one.
    """
    found = re.search(r'_(\d+)$', stem)
    return int(found.group(1)) if found else 0


def _scalars(logs: Sequence[Path], ends: Sequence[float]) -> dict[str, list[tuple[int, float]]]:
    """Name -> (iteration, value) of the numbers that each log folder has from before its entry of
    ``ends``."""
    found: dict[str, dict[int, float]] = {}
    for log, end in zip(logs, ends):
        for values in logged_lines(log):
            step = values.get('iter', values.get('step'))
            if step is None or step >= end:
                continue
            for key, value in values.items():
                if isinstance(value, (int, float)) and key not in ('iter', 'step', 'epoch'):
                    found.setdefault(key, {})[int(step)] = float(value)
    return {key: sorted(points.items()) for key, points in found.items()}


def _evaluations(log: Path) -> list[Evaluation]:
    """What the tables of scores (``evaluation_*.csv``) in a folder of logs say; a table without
    rows, of a process that was killed while it wrote, is left out.
    """
    found = []
    for path in log.glob('evaluation_*.csv'):
        name = path.stem[len('evaluation_'):]
        number = re.fullmatch(r'iter_(\d+)', name)
        with open(path, encoding='utf-8', newline='') as file:
            rows = list(csv.DictReader(file))
        if not rows:
            continue
        domains = {
            row['domain']: {
                key: float(value)
                for key, value in row.items() if key not in _NOT_SCORES and value not in ('', None)
            }
            for row in rows
        }
        images = {row['domain']: int(row['images']) for row in rows if row.get('images')}
        tested = None if number or iterations_of(log) else dumped_setting(log, 'load_from')
        found.append(
            Evaluation(name,
                       int(number.group(1)) if number else None, path, domains, images,
                       Path(tested).name if tested else ''))
    return found


def _config(folder: Path, logs: Sequence[Path]) -> Optional[Config]:
    """The config that the last of ``logs`` which has left one holds, else a ``*.py`` of the work
    dir; None without any.
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
