"""Several runs of one config: seeds, labelled subsets, a grid of settings; their mean and spread.

A study is a folder with one sub-folder per run. A run that ended well has ``finished.json`` in it
and is skipped when the study is started again; one that was interrupted is resumed from its newest
checkpoint.
"""
import csv
import hashlib
import itertools
import json
import math
import re
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mmengine.logging import print_log

from mmseg_dg.apis.config_rows import find_row, load_config, run_name, subset_lists
from mmseg_dg.utils.atomic_files import write_text
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.stop_signals import STOPPED

FINISHED = 'finished.json'
SETTINGS = 'settings.json'


@dataclass
class Run:
    """One training.

    Attributes:
        seed: ``randomness.seed``.
        settings: What tells it from the other runs, besides the seed:
            ``{'row': 'nowarmup', 'subset': '1_8', 'model.x': '0.9'}``.
        options: ``key=value`` pairs for ``--cfg-options``.
        folder: Its work dir.
    """

    seed: int
    settings: dict
    options: list
    folder: Path

    def record(self, config: str) -> dict:
        """What must be the same for an earlier run in this folder to count as this one."""
        return dict(seed=self.seed, settings=self.settings, options=self.options, config=config)


@dataclass
class Study:
    """A config and its combinations of settings.

    Attributes:
        config: Config file.
        folder: Folder of the whole study.
        seeds: At least one.
        rows: Variants of the config by name; None is the config itself.
        subsets: Names of labelled subsets, folders below ``<data_root>/splits``.
        grid: ``{dotted key: [values as text]}``.
        options: ``key=value`` pairs that every run gets.
        train_script: The program that trains: ``SCRIPT CONFIG --work-dir D --resume --cfg-options
            ...``.
        gpus: None: as the machine has; 0: CPU; more than 1: as many processes.
        rank_by: Metric that orders the settings in ``study.md``; None: ``label_free`` where the
            runs have it.
    """

    config: str
    folder: Path
    seeds: Sequence[int]
    rows: Sequence[Optional[str]] = ()
    subsets: Sequence[str] = ()
    grid: dict = field(default_factory=dict)
    options: Sequence[str] = ()
    train_script: Path = Path('tools/train.py')
    gpus: Optional[int] = None
    rank_by: Optional[str] = None

    def __post_init__(self) -> None:
        self.cfg = read_config_file(self.config)
        text = self.cfg.pretty_text
        self.fingerprint = f'{Path(self.config).name} {hashlib.sha256(text.encode()).hexdigest()[:12]}'
        self._fingerprints: dict = {(None, None): self.fingerprint}

    def runs(self) -> list[Run]:
        """All combinations, seeds innermost.

        Raises:
            ValueError: The config has no such row, or no stream ``labeled`` to choose subsets of.
        """
        names = short_names(self.grid)
        runs = []
        for row, subset in itertools.product(self.rows or (None, ), self.subsets or (None, )):
            find_row(self.config, row)
            if subset is not None:
                subset_lists(self.cfg, subset)
            variant = {key: value for key, value in (('row', row), ('subset', subset)) if value}
            for values in itertools.product(*self.grid.values()):
                options = [f'{key}={value}' for key, value in zip(self.grid, values)]
                parts = [
                    *variant.values(),
                    *(f'{names[key]}={value}' for key, value in zip(self.grid, values))
                ]
                for seed in self.seeds:
                    folder = self.folder / folder_name([*parts, f'seed{seed}'])
                    every = [*self.options, *options, f'randomness.seed={seed}']
                    runs.append(
                        Run(seed, {**variant, **dict(zip(self.grid, values))}, every, folder))
        return runs

    def fingerprint_of(self, run: Run) -> str:
        """Name and hash of the config a run trains, its row and subset resolved."""
        variant = run.settings.get('row'), run.settings.get('subset')
        if variant not in self._fingerprints:
            text = repr(load_config(self.config, *variant)._cfg_dict.to_dict())
            name = f'{run_name(self.config, *variant)} {hashlib.sha256(text.encode()).hexdigest()[:12]}'
            self._fingerprints[variant] = name
        return self._fingerprints[variant]

    def command(self, run: Run) -> list[str]:
        """The command line that trains or resumes one run."""
        tail = [str(self.train_script), self.config, '--work-dir', str(run.folder), '--resume']
        for key in ('row', 'subset'):
            tail += [f'--{key}', run.settings[key]] if key in run.settings else []
        if self.gpus == 0:
            tail += ['--device', 'cpu']
        tail += ['--cfg-options', *run.options]
        if (self.gpus or 0) > 1:
            start = [
                '-m', 'torch.distributed.run', f'--nproc_per_node={self.gpus}',
                f'--master_port={free_port()}'
            ]
            return [sys.executable, *start, *tail, '--launcher', 'pytorch']
        return [sys.executable, *tail]

    def execute(self) -> list[Run]:
        """Train what is not finished, one run after another, and write the tables after each.

        Returns:
            The runs that failed.

        Raises:
            ValueError: A folder holds a run with other settings.
        """
        runs, failed = self.runs(), []
        for run in runs:
            check_folder(run, self.fingerprint_of(run))
        for number, run in enumerate(runs, 1):
            label = f'run {number} of {len(runs)}, {run.folder.name}'
            if read_record(run.folder / FINISHED):
                print_log(f'{label}: finished earlier, skipped', logger='current')
                continue
            print_log(f'{label}: {" ".join(self.command(run))}', logger='current')
            if not self.train(run):
                failed.append(run)
            self.write_tables()
        self.write_tables()
        return failed

    def train(self, run: Run) -> bool:
        """Train or resume one run; True if it ended well and was evaluated, which its folder then
        says.

        Raises:
            SystemExit: It was asked to stop.
        """
        run.folder.mkdir(parents=True, exist_ok=True)
        record = run.record(self.fingerprint_of(run))
        write_text(run.folder / SETTINGS, json.dumps(record, indent=1))
        code = subprocess.call(self.command(run))
        # asked to stop: so is the study, which goes on when it is started again
        if code == STOPPED:
            print_log(f'{run.folder.name}: stopped by a signal; the same command goes '
                      'on', logger='current')
            raise SystemExit(STOPPED)
        if code != 0:
            print_log(f'{run.folder.name}: the training ended with code {code}', logger='current')
            return False
        metrics = final_metrics(run.folder)
        if not metrics:
            print_log(f'{run.folder.name}: the training ended without an evaluation',
                      logger='current')
            return False
        write_text(run.folder / FINISHED, json.dumps(dict(record, metrics=metrics), indent=1))
        return True

    def write_tables(self) -> tuple[Path, Path]:
        """``study.csv`` (every metric) and ``study.md`` (mIoU) from the runs finished so far."""
        results = []
        for run in self.runs():
            finished = read_record(run.folder / FINISHED)
            if finished:
                results.append((run, finished['metrics']))
        rows = summarize(results)
        self.folder.mkdir(parents=True, exist_ok=True)
        csv_path, md_path = self.folder / 'study.csv', self.folder / 'study.md'
        with open(csv_path, 'w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, ['setting', 'metric', 'runs', 'mean', 'std', 'values'])
            writer.writeheader()
            writer.writerows(rows)
        text = markdown(rows, Path(self.config).name, len(results), len(self.runs()))
        md_path.write_text(text + ranking(rows, self.rank_by), encoding='utf-8')
        return csv_path, md_path


def split_values(text: str) -> list[str]:
    """``'a,[1,2],b'`` -> ``['a', '[1,2]', 'b']``: commas inside brackets or quotes do not separate.
    """
    parts, depth, quote, start = [], 0, '', 0
    for index, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"':
            quote = char
        else:
            depth += (char in '([{') - (char in ')]}')
            if char == ',' and depth == 0:
                parts.append(text[start:index])
                start = index + 1
    return [*parts, text[start:]]


def parse_grid(pairs: Iterable[str]) -> dict:
    """``['a.b=1,2', 'c=x']`` -> ``{'a.b': ['1', '2'], 'c': ['x']}``.

    Raises:
        ValueError: A pair without ``=``, an empty value, or the same key twice.
    """
    grid: dict = {}
    for pair in pairs:
        key, sign, text = pair.partition('=')
        values = split_values(text)
        if not sign or not key or not all(values):
            raise ValueError(f'--grid takes key=value1,value2; got {pair!r}')
        if key in grid:
            raise ValueError(f'--grid names {key} twice')
        grid[key] = values
    return grid


def short_names(keys: Iterable[str]) -> dict:
    """The shortest unambiguous endings of dotted keys: ``model.a.beta`` -> ``beta``."""
    keys = list(keys)
    names = {}
    for key in keys:
        parts = key.split('.')
        tails = ['.'.join(parts[-n:]) for n in range(1, len(parts) + 1)]
        names[key] = next(t for t in tails
                          if t == key or sum(f'.{k}'.endswith(f'.{t}') for k in keys) == 1)
    return names


def folder_name(parts: Sequence[str], limit: int = 120) -> str:
    """A file name from settings; long ones are cut and get a hash, so that no two are the same."""
    full = '_'.join(parts)
    name = re.sub(r'[^\w.=+-]+', '-', full)
    if name != full or len(name) > limit:
        name = f'{name[:limit]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}'
    return name


def read_record(path: Path, needs: str = 'metrics') -> dict:
    """A JSON file that a study wrote; empty where there is none, or a damaged one (which is
    logged).
    """
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(record, dict) or needs not in record:
            raise ValueError(f'it has no {needs}')
    except (OSError, ValueError, RecursionError) as error:
        print_log(f'{path} is damaged ({error}); the run counts as not finished', logger='current')
        return {}
    return record


def check_folder(run: Run, config: str) -> None:
    """Refuse to mix runs with different settings in one folder.

    Raises:
        ValueError: An earlier run in the folder had other settings, or the config has changed
            since.
    """
    earlier, now = read_record(run.folder / SETTINGS, needs='seed'), run.record(config)
    if not earlier:
        return
    changed = [key for key in now if earlier.get(key) != now[key]]
    if changed:
        listed = '; '.join(f'{key} was {earlier.get(key)}, is {now[key]}' for key in changed)
        raise ValueError(f'{run.folder} holds a run with other settings ({listed}). Use another '
                         '--work-dir, or delete that folder')


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def final_metrics(folder: Path) -> dict:
    """Metrics of a run's last evaluation, unrounded: ``{'cityscapes/mIoU': 61.2, ...}``; empty when
    there is none.

    Reads ``<timestamp>/evaluation_iter_<N>.csv`` or, for loops that write none,
    ``<timestamp>/vis_data/scalars.json``.
    """
    tables = [(int(match.group(1)), path.stat().st_mtime, path)
              for path in folder.glob('*/evaluation_iter_*.csv')
              if (match := re.fullmatch(r'evaluation_iter_(\d+)', path.stem))]
    if tables:
        return read_evaluation(max(tables)[2])
    lines = [
        line for path in sorted(folder.glob('*/vis_data/scalars.json'))
        for line in path.read_text(encoding='utf-8').splitlines()
    ]
    for line in reversed(lines):
        metrics = {
            key: value
            for key, value in json.loads(line).items()
            if key.split('/')[-1].startswith(('mIoU', 'IoU', 'aAcc'))
        }
        if metrics:
            return metrics
    return {}


def read_evaluation(path: Path) -> dict:
    """``{'<domain>/<metric>': number}`` of an ``evaluation_iter_<N>.csv``; cells that are not
    numbers are left out.
    """
    metrics = {}
    with open(path, newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            domain = row.pop('domain')
            row.pop('images', None)
            for key, text in row.items():
                try:
                    metrics[f'{domain}/{key}'] = float(text)
                except (TypeError, ValueError):
                    continue
    return metrics


def summarize(results: Sequence[tuple]) -> list[dict]:
    """Mean and sample standard deviation over the seeds of each setting.

    Args:
        results: ``(run, metrics)`` pairs. NaN (a class that occurs nowhere) does not count as a
            value.

    Returns:
        Rows with ``setting, metric, runs, mean, std, values``; ``std`` is empty for a single value.
        With several labelled subsets there are also rows ``subset=all`` over all of them.
    """
    groups: dict = {}
    pooled = len({run.settings.get('subset') for run, _ in results}) > 1
    for run, metrics in results:
        settings = [run.settings]
        if pooled and 'subset' in run.settings:
            settings.append(dict(run.settings, subset='all'))
        for label in (', '.join(f'{key}={value}' for key, value in each.items()) or '-'
                      for each in settings):
            for name, value in metrics.items():
                groups.setdefault((label, name), []).append(value)
    rows = []
    for (setting, name), values in groups.items():
        values = [value for value in values if not math.isnan(value)]
        rows.append(
            dict(setting=setting, metric=name, runs=len(values),
                 mean=statistics.fmean(values) if values else '',
                 std=statistics.stdev(values) if len(values) > 1 else '',
                 values=' '.join(map(str, values))))
    return rows


def markdown(rows: Sequence[dict], title: str, done: int, planned: int) -> str:
    """mIoU of every domain as a table; one line per setting."""
    metrics = list(dict.fromkeys(row['metric'] for row in rows if row['metric'].endswith('mIoU')))
    cells: dict = {}
    for row in rows:
        spread = f' ± {row["std"]:.2f}' if row['std'] != '' else ''
        value = f'{row["mean"]:.2f}{spread} ({row["runs"]})' if row['mean'] != '' else '-'
        cells.setdefault(row['setting'], {})[row['metric']] = value
    lines = [
        f'# {title}', '', f'{done} of {planned} runs finished. Mean ± sample standard '
        'deviation (number of runs) of the last evaluation; every class is '
        'in study.csv.', ''
    ]
    lines += ['| setting | ' + ' | '.join(metrics) + ' |', '|---|' + '---|' * len(metrics)]
    for setting, values in cells.items():
        lines.append(f'| {setting} | ' + ' | '.join(values.get(metric, '-')
                                                    for metric in metrics) + ' '
                     '|')
    return '\n'.join(lines) + '\n'


def ranking(rows: Sequence[dict], metric: Optional[str] = None) -> str:
    """The settings in the order of one metric, the best first, as a section of ``study.md``.

    Args:
        rows: Of :func:`summarize`.
        metric: ``<domain>/<name>``. None: ``mean/label_free``, else the first
            ``<domain>/label_free``; nothing is ranked where there is neither or a single setting.

    Raises:
        ValueError: No finished run has the metric.
    """
    # here: the table alone needs no networks
    from mmseg_dg.evaluation.label_free import LESS_IS_BETTER, SCORES
    names = list(dict.fromkeys(row['metric'] for row in rows))
    if metric is None:
        free = sorted((name for name in names if name.split('/')[-1] == 'label_free'),
                      key=lambda n: n[:5] != 'mean/')
        if not free or len({row['setting'] for row in rows}) < 2:
            return ''
        metric = free[0]
    if rows and metric not in names:
        raise ValueError(f'--rank-by {metric}: no finished run has this metric; there are '
                         f'{names[:20]}')
    ranked = [row for row in rows if row['metric'] == metric and row['mean'] != '']
    ranked.sort(key=lambda row: row['mean'], reverse=metric.split('/')[-1] not in LESS_IS_BETTER)
    lines = [
        '', f'## Ranked by {metric}', '', f'| | setting | {metric} | runs |', '|---|---|---|---|'
    ]
    lines += [
        f'| {n} | {row["setting"]} | {row["mean"]:.2f} | {row["runs"]} |'
        for n, row in enumerate(ranked, 1)
    ]
    if metric.split('/')[-1] in ('label_free', *SCORES):
        lines += [
            '', 'No label of the target was read for this order; '
            'docs/choosing_without_labels.md says what it is worth.'
        ]
    return '\n'.join(lines) + '\n'
