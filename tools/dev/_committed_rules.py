"""The leaderboard's rules (docs/leaderboard.md) for comparisons of committed rows outside its own pages: whether a
suite is published, whether budgets are equal, which arms still rise, and the interval over drives.

A row is in the folder of its suite. Folders without a suite in configs/suites hold runs by hand, which have no upper
control and keep no counts by drive. torch is loaded only where there are counts to resample.
"""
import importlib.util
import statistics
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / 'docs' / 'benchmarks' / 'rows'
SUITES = ROOT / 'configs' / 'suites'
#: Of mmseg_dg/apis/leaderboard/suite.py: the least distance of the controls, the largest one of budgets (a share).
LEAST_SPREAD, TOLERANCE = 5., 0.005


def _judgment() -> ModuleType:
    """``mmseg_dg.apis.leaderboard.judgment`` by its file: importing the package would load torch."""
    path = ROOT / 'mmseg_dg' / 'apis' / 'leaderboard' / 'judgment.py'
    spec = importlib.util.spec_from_file_location('judgment', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['judgment'] = module
    spec.loader.exec_module(module)
    return module


judgment = _judgment()


def is_suite(folder: str) -> bool:
    """Whether the rows of a folder are those of a suite; else they are of runs by hand."""
    return (SUITES / f'{folder}.yml').is_file()


def unpublished(rows: dict[str, dict], folder: str, arm: str) -> tuple[str, list]:
    """Why the arms of a suite must not be compared, and the rows of its controls; '' if they may.

    Args:
        rows: All, by ``'SUITE/NAME.json'``.
        folder: The suite; runs by hand have no controls to ask.
        arm: One of its arms: the controls are those of the same encoder.
    """
    if not is_suite(folder):
        return '', []
    suite = yaml.safe_load((SUITES / f'{folder}.yml').read_text(encoding='utf-8'))
    if not suite.get('ranked', True):
        return 'not published: its suite ranks nothing', []
    encoders = suite.get('encoders') or {}
    # with several encoders an arm is called ARM-ENCODER; of x-small and small the longer name fits
    endings = [f'-{name}' for name in encoders if len(encoders) > 1 and arm.endswith(f'-{name}')]
    encoder = max(endings, key=len, default='')
    means, names = [], []
    for control in (suite['lower'] + encoder, suite['upper'] + encoder):
        own = {name: row for name, row in rows.items() if name.split('/')[0] == folder and row['arm'] == control}
        if not own:
            return f'not published: no run of the control {control}', names
        means.append(statistics.fmean(row['last_three'] for row in own.values()))
        names += own
    gap = means[1] - means[0]
    far = gap >= suite.get('least_spread', LEAST_SPREAD)
    return '' if far else f'not published: controls {gap:.1f} apart', names


def unequal_budgets(rows: list[dict]) -> str:
    """Why rows must not be compared: how many images the smallest and the largest budget read; '' for equal ones."""
    images = [row['budget']['images'] for row in rows]
    if not images or max(images) - min(images) <= TOLERANCE * max(images):
        return ''
    return f'not compared: budgets of {min(images)} and {max(images)} images'


def rising(who: str, rows: list[dict]) -> list[str]:
    """``['the control rises +1.90']`` where an arm's score rose by more than a point in the last quarter, on average
    over its rows; else ``[]``.
    """
    found = [row['rise_in_last_quarter'] for row in rows if row.get('rise_in_last_quarter') is not None]
    mean = statistics.fmean(found) if found else 0.
    return [f'{who} rises {mean:+.2f}'] if mean > judgment.RISE else []


def drives_interval(pairs: list[tuple[tuple[str, dict], tuple[str, dict]]],
                    metric: Any = None) -> tuple[Optional[tuple], str]:
    """95 % interval of a difference of scores over resampled drives, in points.

    Args:
        pairs: ``((name, row), (name, row))`` of arm and control with one seed.
        metric: What is compared instead of the rows' scores.

    Returns:
        (low, high) and ''; or None and why it is lacking, '' for runs by hand, of which nobody asks it.
    """
    entries = [entry for pair in pairs for entry in pair]
    if not all(is_suite(name.split('/')[0]) for name, _ in entries):
        return None, ''
    if metric is not None or not all(row['score'].endswith('/mIoU') for _, row in entries):
        return None, 'drives are resampled for the mIoU alone'
    lacking = [name for name, _ in entries if not _counts_file(name).is_file()]
    if lacking or not entries:
        return None, f'no counts by drive beside {len(lacking)} of {len(entries)} rows'
    from mmseg_dg.evaluation.drives import bootstrap_difference, read_counts
    arm, control = ([_of_score(row, read_counts(_counts_file(name))) for name, row in side] for side in zip(*pairs))
    interval = None if None in arm + control else bootstrap_difference(arm, control)
    return interval, '' if interval else 'counts by drive of other domains or drives'


def _counts_file(name: str) -> Path:
    """Where the counts by drive of a row lie (counts_file of mmseg_dg/apis/leaderboard/rows.py)."""
    path = ROWS / name
    return path.with_name(f'{path.stem}_drives.npz')


def _of_score(row: dict, counts: dict[str, Any]) -> Optional[dict]:
    """Counts ``{domain: [evaluations]}`` of the domains that a row's score is the mean of; None where they are not
    there. ``mean`` leaves out sources, which only the config tells: the mean over the domains must be the score.
    """
    domain = row['score'].partition('/')[0]
    domains = list(counts) if domain == 'mean' else [domain]
    scores = [row['metrics'].get(f'{name}/mIoU') for name in domains if name in counts]
    if not scores or len(scores) < len(domains) or None in scores:
        return None
    right = abs(statistics.fmean(scores) - row['last_three']) < 0.005
    return {name: counts[name] for name in domains} if right else None
