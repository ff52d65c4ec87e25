"""Several runs of one config: seeds, labeled subsets, a grid of settings; their mean and spread.

A study is a folder with one sub-folder per run. A run that ended well has ``finished.json`` in it
and is skipped when the study is started again; one that was interrupted is resumed from its newest
checkpoint.
"""
import csv
import hashlib
import itertools
import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_dg.apis.config_rows import config_homes, find_row, run_name
from mmseg_dg.apis.row_configs import load_config, subset_lists
from mmseg_dg.apis.study_tables import final_metrics, markdown, ranking, summarize
from mmseg_dg.utils.atomic_files import write_text
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.stop_signals import STOPPED

#: In the folder of a run that ended well: its :meth:`Run.record` and its metrics.
FINISHED = 'finished.json'
#: In the folder of every run that was begun: its :meth:`Run.record`.
SETTINGS = 'settings.json'
#: Environment variable that names the folder of data and weights in configs.
_SHARED = 'MMSEG_DG_SHARED'


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
        """What must be the same for an earlier run in this folder to count as this one.

        Args:
            config: Name and hash of the run's config, of :meth:`Study.fingerprint_of`.
        """
        return dict(seed=self.seed, settings=self.settings, options=self.options, config=config)


@dataclass
class Study:
    """A config and its combinations of settings.

    Attributes:
        config: Config file.
        folder: Folder of the whole study.
        seeds: At least one.
        rows: Variants of the config by name; None is the config itself.
        subsets: Names of labeled subsets, folders below ``<data_root>/splits``; ``{seed}`` in one
            stands for the run's seed, so that each seed has labels of its own.
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
        """Read the config; ``fingerprint`` is its name and hash, without a row or subset."""
        self.cfg = read_config_file(self.config)
        # (row, subset) -> name and hash of the config with them; filled by fingerprint_of
        self._fingerprints: dict = {(None, None): _fingerprint(Path(self.config).name, self.cfg)}
        self.fingerprint = self._fingerprints[None, None]

    def runs(self) -> list[Run]:
        """All combinations, seeds innermost.

        Raises:
            ValueError: The config has no such row, or no stream ``labeled`` to choose subsets of.
        """
        names = short_names(self.grid)
        runs = []
        for row, subset in itertools.product(self.rows or (None, ), self.subsets or (None, )):
            # both are called only to raise, before any training, if there is no such row or stream
            find_row(self.config, row)
            if subset is not None:
                subset_lists(self.cfg, subset)
            for values in itertools.product(*self.grid.values()):
                chosen = dict(zip(self.grid, values))  # dotted key -> value of this run
                options = [f'{key}={value}' for key, value in chosen.items()]
                short = [f'{names[key]}={value}' for key, value in chosen.items()]
                for seed in self.seeds:
                    variant = variant_of(row, subset, seed)
                    parts = [*variant.values(), *short, f'seed{seed}']
                    runs.append(
                        Run(seed=seed, settings={**variant, **chosen},
                            options=[*self.options, *options, f'randomness.seed={seed}'],
                            folder=self.folder / folder_name(parts)))
        return runs

    def fingerprint_of(self, run: Run) -> str:
        """Name and hash of the config a run trains, its row and subset resolved."""
        variant = run.settings.get('row'), run.settings.get('subset')
        if variant not in self._fingerprints:
            self._fingerprints[variant] = _fingerprint(run_name(self.config, *variant),
                                                       load_config(self.config, *variant))
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
            ValueError: A folder holds a run with other settings, or ``rank_by`` is no metric of the
                runs; before training as far as their configs tell, else after all of it.
        """
        runs, failed = self.runs(), []
        for run in runs:
            check_folder(run, self.fingerprint_of(run))
        self.check_ranking(runs)
        for number, run in enumerate(runs, 1):
            label = f'run {number} of {len(runs)}, {run.folder.name}'
            if read_record(run.folder / FINISHED):
                print_log(f'{label}: finished earlier, skipped', logger='current')
                continue
            print_log(f'{label}: {" ".join(self.command(run))}', logger='current')
            if not self.train(run):
                failed.append(run)
            try:
                self.write_tables()
            except ValueError as error:  # of rank_by: the tables are there, training goes on
                print_log(str(error), logger='current', level=logging.WARNING)
        self.write_tables()
        return failed

    def check_ranking(self, runs: Iterable[Run]) -> None:
        """Refuse a ``rank_by`` that no validation of the runs gives.

        Raises:
            ValueError: Its domain is no validation domain of a run, or the evaluator there does
                not have the score.
        """
        # what overrides the validation is known to the training alone
        overrides = [*self.options, *self.grid]
        if self.rank_by is None or any(option.startswith('val_') for option in overrides):
            return
        # imported here: the leaderboard imports this module
        from mmseg_dg.apis.leaderboard.scores import check_score
        for row, subset in {(run.settings.get('row'), run.settings.get('subset')) for run in runs}:
            cfg = load_config(self.config, row, subset) if row or subset else self.cfg
            # other loops have other keys
            if 'MultiDomainValLoop' in str((cfg.get('val_cfg') or {}).get('type')):
                check_score(cfg, self.rank_by, '--rank-by')

    def train(self, run: Run) -> bool:
        """Train or resume one run; True if it ended well and was evaluated, which its folder then
        says.

        Raises:
            SystemExit: It was asked to stop.
        """
        run.folder.mkdir(parents=True, exist_ok=True)
        record = run.record(self.fingerprint_of(run))
        write_text(run.folder / SETTINGS, json.dumps(record, indent=1))
        code = subprocess.call(self.command(run))  # resumes where a checkpoint is there
        # STOPPED, an exit status: a signal stopped the run, and stops the study as well, which can
        # be started again
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
        """Write ``study.csv`` (every metric) and ``study.md`` (mIoU) from the runs finished so far;
        returns their paths in this order.

        Raises:
            ValueError: No finished run has the metric ``rank_by``; the tables are written without
                the ranking.
        """
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
        md_path.write_text(text, encoding='utf-8')  # there, too, where the ranking is refused
        md_path.write_text(text + ranking(rows, self.rank_by), encoding='utf-8')
        return csv_path, md_path


def variant_of(row: Optional[str], subset: Optional[str], seed: int) -> dict[str, str]:
    """``row`` and ``subset`` of a run, in this order, as far as it has them; ``{seed}`` in the
    subset becomes the seed.
    """
    subset = subset and subset.replace('{seed}', str(seed))
    return {key: value for key, value in (('row', row), ('subset', subset)) if value}


def split_values(text: str) -> list[str]:
    """``'a,[1,2],b'`` -> ``['a', '[1,2]', 'b']``: commas inside brackets or quotes do not separate.
    """
    # depth: of open brackets; quote: the character that ends the quoted text, '' outside of one;
    # start: of the value that is being read
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
        # the whole key, or an ending that no other key has
        names[key] = next(t for t in tails
                          if t == key or sum(f'.{k}'.endswith(f'.{t}') for k in keys) == 1)
    return names


def folder_name(parts: Sequence[str], limit: int = 120) -> str:
    """A file name from parts such as ``seed0``, joined by ``_``. One that is longer than ``limit``,
    or has characters that file names should not have, is cut and cleaned and gets a hash of the
    original, so that no two are the same.
    """
    full = '_'.join(parts)
    name = re.sub(r'[^\w.=+-]+', '-', full)
    if name != full or len(name) > limit:
        name = f'{name[:limit]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}'
    return name


def read_record(path: Path, needs: str = 'metrics') -> dict:
    """The dict in a JSON file that a study wrote.

    Args:
        path: The file.
        needs: A key that it must have; without it the file counts as damaged.

    Returns:
        ``{}`` where there is no file, or a damaged one, which is logged.
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


def _fingerprint(name: str, cfg: Config) -> str:
    """``name`` and a hash of the config's settings. They are hashed as plain values (``_cfg_dict``
    of mmengine's Config), not as the text of its file, which comments and formatting change, and
    without the place of the package's configs and of ``MMSEG_DG_SHARED``: a study that is moved,
    or goes on elsewhere, is the same one.
    """
    text = repr(cfg._cfg_dict.to_dict())
    places = {str(home): 'configs' for home in config_homes()}
    places[os.environ.get(_SHARED) or '../shared'] = f'${_SHARED}'  # the default in configs
    for place, written in places.items():
        # whole folders at the beginning of a string
        text = text.replace(f"'{place}/", f"'{written}/")
    return f'{name} {hashlib.sha256(text.encode()).hexdigest()[:12]}'


def check_folder(run: Run, config: str) -> None:
    """Refuse to mix runs with different settings in one folder.

    Args:
        run: The run that is to be trained.
        config: Of :meth:`Study.fingerprint_of`.

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
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))  # 0: the system chooses a free one
        return probe.getsockname()[1]
