"""One run as a JSON row: what it was, what it scored, what it cost.

The fields are described in docs/leaderboard.md; rows of runs by hand (:mod:`.collected`) have the
same.
"""
import json
import math
import re
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

from mmseg_dg.apis.encoder_report import encoder_report
from mmseg_dg.apis.provenance import commit, versions
from mmseg_dg.apis.study import read_record, variant_of
from mmseg_dg.apis.study_tables import read_evaluation
from mmseg_dg.evaluation.bias import GROUPS
from mmseg_dg.evaluation.drives import Drives, read_drives
from mmseg_dg.utils.atomic_files import write_text

from .judgment import Evaluations, best, last_three, rise
from .suite import Arm

#: File in a work dir, written by :class:`.board.measured_cost`.
COST = 'cpu_seconds.json'
#: Folder of the rows below that of a leaderboard.
ROWS = 'rows'
#: Version of the fields of a row; a higher one means that some were renamed.
SCHEMA = 1


def evaluations_of(folder: Path) -> dict[int, dict[str, float]]:
    """``{iteration: {'<domain>/<metric>': number}}`` of a run, resumed parts included; of equal
    ones the newest."""
    files = [(int(match.group(1)), path.stat().st_mtime, path)
             for path in folder.glob('*/evaluation_iter_*.csv')
             if (match := re.fullmatch(r'evaluation_iter_(\d+)', path.stem))]
    # sorted by iteration and time: the newest of an iteration comes last, and stays in the dict
    return {n: read_evaluation(path) for n, _, path in sorted(files)}


def evaluations_in(row: Path) -> dict[int, dict[str, float]]:
    """The same from a row's file; a number that is None there is nan.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no row, or one without ``evaluations``: the first rows had none.
    """
    try:
        found = json.loads(row.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{row} is no row: {error}') from error
    if not isinstance(found, dict) or 'evaluations' not in found:
        raise ValueError(f'{row} has no "evaluations" (the first rows had none): give the work dir '
                         'of its training, or train it again')
    return {
        int(n): {key: math.nan if value is None else value
                 for key, value in metrics.items()}
        for n, metrics in found['evaluations'].items()
    }


def drives_of(folder: Path) -> dict[str, list[Drives]]:
    """``{domain: counts of its last three evaluations}`` of a run; empty where its evaluator leaves
    none."""
    found: dict[str, dict[int, Path]] = {}  # domain -> iteration -> file
    # by time: a resumed run judges an iteration again, the newest counts
    for path in sorted(folder.glob('*/drives_*_iter_*.npz'), key=lambda p: p.stat().st_mtime):
        match = re.fullmatch(r'drives_(.+)_iter_(\d+)', path.stem)
        if match:
            found.setdefault(match.group(1), {})[int(match.group(2))] = path
    return {
        domain: [read_drives(paths[n]) for n in sorted(paths)[-3:]]
        for domain, paths in sorted(found.items())
    }


def scored_domains(cfg: Config, score: str) -> list[str]:
    """Domains that make up a score.

    Args:
        cfg: Of the run; ``val_cfg.protocols`` may give a validation domain the role ``source``.
        score: ``'<domain>/<metric>'``, or ``'mean/<metric>'``.

    Returns:
        The domain that it names; for ``mean`` all validation domains without the role ``source``,
        or all where every one has it.
    """
    domain = score.partition('/')[0]
    if domain != 'mean':
        return [domain]
    protocols = (cfg.get('val_cfg') or {}).get('protocols') or {}
    names = [name for name, loader in cfg.val_dataloader.items() if loader is not None]
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
    cost = read_record(folder / COST, needs='seconds')
    return dict(
        schema=SCHEMA, arm=arm.name, method=arm.method, encoder=arm.encoder, control=arm.control,
        seed=seed, config=below_configs(arm.config), row=arm.row,
        subset=variant_of(arm.row, arm.subset, seed).get('subset'), options=arm.options,
        fingerprint=fingerprint, command=command, commit=commit(), versions=versions(),
        budget=dict(steps=arm.steps, images_per_step=arm.images_per_step,
                    images_before=arm.images_before, images=arm.budget),
        **score_fields(folder, score, arm.steps), cpu_seconds=cost.get('seconds'),
        cpu_seconds_complete=bool(cost) and cost['started'] == cost['measured'],
        **encoder_fields(arm, folder, score))


def encoder_fields(arm: Arm, folder: Path, score: str) -> dict[str, Any]:
    """What a row says of the encoder of a run in ``folder``, probed on the first domain of a score
    (:func:`mmseg_dg.apis.encoder_report.encoder_report`)."""
    return encoder_report(arm.cfg, folder, scored_domains(arm.cfg, score)[0])


def score_fields(folder: Path, score: str, steps: int) -> dict[str, Any]:
    """What a row says of a run's evaluations.

    Args:
        folder: Work dir.
        score: Key of the row's score, ``<domain>/<metric>``.
        steps: Optimizer steps of the run.

    Returns:
        ``score``; of it the mean of the ``last_three`` evaluations, the ``last`` one, the highest
        with its iteration (``best_on_validation``, ``best_iteration``), ``rise_in_last_quarter``
        and the ``curve`` by iteration; ``metrics``, every metric's mean of the last three, and
        ``groups``, those of thirds of the classes; ``evaluations``, every metric of every
        evaluation. Numbers that are nan are None.

    Raises:
        ValueError: No evaluation has the score.
    """
    evaluations: Evaluations = evaluations_of(folder)
    value = last_three(evaluations, score)
    if not evaluations or math.isnan(value):
        raise ValueError(
            f'{folder}: no evaluation has {score!r}; the last one has '
            f'{sorted(evaluations[max(evaluations)])[:12] if evaluations else "nothing"}')
    highest, best_iteration = best(evaluations, score)
    last = evaluations[max(evaluations)]
    keys = [key for key in last if not key.endswith('images')]  # a number of images is no score
    means = {key: plain(last_three(evaluations, key)) for key in keys}
    curve = {str(n): plain(evaluations[n].get(score, math.nan)) for n in sorted(evaluations)}
    # head, middle and tail of the classes by frequency
    groups = {group: means.get(f'{_domain_of(score)}/mIoU.{group}') for group in GROUPS}
    rises = plain(rise(evaluations, score, steps))
    complete = {
        str(n): {key: plain(number)
                 for key, number in sorted(evaluations[n].items())}
        for n in sorted(evaluations)
    }
    return dict(evaluations=complete, score=score, last_three=value,
                last=plain(last.get(score, math.nan)), best_on_validation=highest,
                best_iteration=best_iteration, rise_in_last_quarter=rises, metrics=means,
                groups=groups, curve=curve)


def _domain_of(score: str) -> str:
    """``'camera'`` of ``'camera/mIoU'``."""
    return score.rpartition('/')[0]


def plain(value: float) -> Optional[float]:
    """A number as JSON has it: None for nan."""
    return None if math.isnan(value) else float(value)


def below_configs(path: Path) -> str:
    """A path from its folder ``configs`` on, as in the repository, or its bare name where it is in
    no such folder: a row has no paths of this machine.
    """
    parts = path.parts
    return '/'.join(parts[parts.index('configs'):]) if 'configs' in parts else path.name


def row_file(folder: Path, arm: str, seed: int) -> Path:
    """The row of one run in a folder of rows."""
    return folder / f'{arm}_seed{seed}.json'


def counts_file(row: Path) -> Path:
    """Where the counts by drive of a row lie (:func:`mmseg_dg.evaluation.drives.write_counts`)."""
    return row.with_name(f'{row.stem}_drives.npz')


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
