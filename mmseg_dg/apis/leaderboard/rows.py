"""One run as a JSON row: what it was, what it scored, what it cost."""
import functools
import json
import math
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Optional

from mmseg_dg.apis.study import read_record
from mmseg_dg.apis.study_tables import read_evaluation
from mmseg_dg.evaluation.bias import GROUPS
from mmseg_dg.evaluation.drives import Drives, read_drives
from mmseg_dg.utils.atomic_files import write_text
from mmseg_dg.version import __version__

from .judgment import best, last_three, rise
from .suite import Arm

COST = 'cpu_seconds.json'
_LIBRARIES = ('torch', 'numpy', 'mmengine', 'mmcv-lite', 'mmsegmentation', 'onedl-mmengine',
              'onedl-mmcv', 'onedl-mmsegmentation')


def evaluations_of(folder: Path) -> dict[int, dict[str, float]]:
    """``{iteration: {'<domain>/<metric>': number}}`` of a run, resumed parts included; of equal
    ones the newest."""
    files = [(int(match.group(1)), path.stat().st_mtime, path)
             for path in folder.glob('*/evaluation_iter_*.csv')
             if (match := re.fullmatch(r'evaluation_iter_(\d+)', path.stem))]
    return {n: read_evaluation(path) for n, _, path in sorted(files)}


def drives_of(folder: Path) -> dict[str, list[Drives]]:
    """``{domain: counts of its last three evaluations}`` of a run; empty where its evaluator leaves
    none."""
    found: dict[str, dict[int, Path]] = {}
    # by time: a resumed run judges an iteration again, the newest counts
    for path in sorted(folder.glob('*/drives_*_iter_*.npz'), key=lambda p: p.stat().st_mtime):
        match = re.fullmatch(r'drives_(.+)_iter_(\d+)', path.stem)
        if match:
            found.setdefault(match.group(1), {})[int(match.group(2))] = path
    return {
        domain: [read_drives(paths[n]) for n in sorted(paths)[-3:]]
        for domain, paths in sorted(found.items())
    }


def scored_domains(arm: Arm, score: str) -> list[str]:
    """Domains that make up a score: the one it names, or all that are no source for ``mean``."""
    domain = score.partition('/')[0]
    if domain != 'mean':
        return [domain]
    protocols = (arm.cfg.get('val_cfg') or {}).get('protocols') or {}
    names = [name for name, loader in arm.cfg.val_dataloader.items() if loader is not None]
    return [name for name in names if (protocols.get(name) or {}).get('role') != 'source'] or names


def make_row(arm: Arm, seed: int, folder: Path, command: str, fingerprint: str, score: str) -> dict:
    """The row of a finished run.

    Args:
        arm: What was trained.
        seed: With which seed.
        folder: Its work dir.
        command: That trains it, with paths below the leaderboard's folder.
        fingerprint: Of the config (study).
        score: Key of the leaderboard.

    Returns:
        Plain values: what it was (arm, config, command, versions), what it scored (``last_three``:
        the mean of its last three evaluations), and what it cost.

    Raises:
        ValueError: No evaluation has the score.
    """
    evaluations = evaluations_of(folder)
    value = last_three(evaluations, score)
    if not evaluations or math.isnan(value):
        raise ValueError(
            f'{folder}: no evaluation has {score!r}; the last one has '
            f'{sorted(evaluations[max(evaluations)])[:12] if evaluations else "nothing"}')
    highest, at = best(evaluations, score)
    # scores of the last evaluation, without the numbers of images
    keys = [key for key in evaluations[max(evaluations)] if not key.endswith('images')]
    means = {key: _plain(last_three(evaluations, key)) for key in keys}
    cost = read_record(folder / COST, needs='seconds')
    return dict(
        arm=arm.name, method=arm.method, encoder=arm.encoder, control=arm.control, seed=seed,
        config=_below_configs(arm.config), row=arm.row, options=arm.options,
        fingerprint=fingerprint, command=command, commit=commit(), versions=versions(),
        budget=dict(steps=arm.steps, images_per_step=arm.images_per_step,
                    images_before=arm.images_before,
                    images=arm.budget), score=score, last_three=value,
        last=_plain(evaluations[max(evaluations)].get(score, math.nan)), best_on_validation=highest,
        best_iteration=at, rise_in_last_quarter=_plain(rise(evaluations, score,
                                                            arm.steps)), metrics=means,
        groups={group: means.get(f'{_first(score)}/mIoU.{group}')
                for group in GROUPS}, curve={
                    str(n): _plain(values.get(score, math.nan))
                    for n, values in sorted(evaluations.items())
                }, cpu_seconds=cost.get('seconds'), cpu_seconds_complete=bool(cost)
        and cost['started'] == cost['measured'])


def _first(score: str) -> str:
    return score.rpartition('/')[0]


def _plain(value: float) -> Optional[float]:
    return None if math.isnan(value) else float(value)


def _below_configs(path: Path) -> str:
    """A path from ``configs`` on, as in the repository; the bare name elsewhere."""
    parts = path.parts
    return '/'.join(parts[parts.index('configs'):]) if 'configs' in parts else path.name


def write_row(path: Path, row: dict) -> None:
    """Write a row as one file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(row, indent=1, sort_keys=True) + '\n')


def read_rows(folder: Path) -> dict[str, dict[int, dict]]:
    """``{arm: {seed: row}}`` of the files below ``folder``; damaged ones are left out and
    logged."""
    found: dict[str, dict[int, dict]] = {}
    for path in sorted(folder.glob('*.json')):
        row = read_record(path, needs='last_three')
        if row:
            found.setdefault(row['arm'], {})[int(row['seed'])] = row
    return found


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what decides the numbers: this package, Python and the installed libraries."""
    found = dict(mmseg_dg=__version__, python='.'.join(map(str, sys.version_info[:3])))
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> str:
    """Commit of the sources, ``+`` behind it where files were changed since; empty for an installed
    package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / '.git').exists():
        return ''
    head, changed = (_git(root, *words)
                     for words in (('rev-parse', 'HEAD'), ('status', '--porcelain', '-uno')))
    return f'{head[:12]}{"+" if changed else ""}' if head else ''


def _git(root: Path, *words: str) -> str:
    """What a git command prints; '' where it fails or there is no git."""
    try:
        done: Any = subprocess.run(['git', '-C', str(root), *words], capture_output=True, text=True,
                                   timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''
