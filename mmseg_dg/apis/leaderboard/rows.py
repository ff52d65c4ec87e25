"""One run as a JSON row: what it was, what it scored, what it cost.

The fields are described in docs/leaderboard.md; rows of runs by hand (:mod:`.collected`) have the
same.
"""
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mmseg_dg.apis.encoder_report import encoder_report
from mmseg_dg.apis.launch import RECORD
from mmseg_dg.apis.provenance import commit, versions
from mmseg_dg.apis.study import read_record, variant_of
from mmseg_dg.apis.study_tables import evaluation_files, read_evaluation
from mmseg_dg.evaluation.bias import GROUPS
from mmseg_dg.evaluation.drives import Drives, read_drives
from mmseg_dg.evaluation.score_direction import less_is_better
from mmseg_dg.utils.atomic_files import write_text
from mmseg_dg.utils.run_logs import counted_logs, files_by_iteration

from .judgment import Evaluations, best, last_three, rise
from .scores import scored_domains
from .suite import Arm

#: File in a work dir, written by :class:`.board.measured_cost`.
COST = 'cpu_seconds.json'
#: Folder of the rows below that of a leaderboard.
ROWS = 'rows'
#: Version of the fields of a row; a higher one means that some were renamed.
SCHEMA = 1


class NoScore(ValueError):
    """A run whose evaluations give no score to judge it by."""


def records_of(folder: Path) -> list[dict]:
    """What each start of the training in a work dir has recorded of itself (``run.json``), oldest
    first; those that recorded nothing are left out.
    """
    records = (read_record(path / RECORD, needs='command') for path in counted_logs(folder))
    return [record for record in records if record]


def commits_of(records: Sequence[Mapping[str, Any]]) -> str:
    """The commits that a training's records name, each once."""
    return ', '.join(dict.fromkeys(r['commit'] for r in records if r.get('commit')))


def evaluations_of(folder: Path) -> dict[int, dict[str, float]]:
    """``{iteration: {'<domain>/<metric>': number}}`` of a run, resumed parts included; of equal
    ones that of the last start.
    """
    return {n: read_evaluation(path) for n, path in evaluation_files(folder).items()}


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
    logs = counted_logs(folder)
    domains = {
        match.group(1)
        for log in logs
        for path in log.glob('drives_*_iter_*.npz')
        if (match := re.fullmatch(r'drives_(.+)_iter_\d+', path.stem))
    }
    found = {  # domain -> iteration -> file
        domain: files_by_iteration(folder, rf'drives_{re.escape(domain)}_iter_(\d+)\.npz')
        for domain in domains
    }
    return {
        domain: [read_drives(paths[n]) for n in sorted(paths)[-3:]]
        for domain, paths in sorted(found.items())
    }


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
        the mean of its last three evaluations), and what it cost. Commit and versions are those
        that the training recorded; where it recorded none, the present ones.

    Raises:
        NoScore: As :func:`score_fields`.
    """
    cost, records = read_record(folder / COST, needs='seconds'), records_of(folder)
    return dict(
        schema=SCHEMA, arm=arm.name, method=arm.method, encoder=arm.encoder, control=arm.control,
        seed=seed, config=below_configs(arm.config), row=arm.row, subset=variant_of(
            arm.row, arm.subset,
            seed).get('subset'), options=arm.options, fingerprint=fingerprint, command=command,
        processes=arm.processes, commit=commits_of(records) if records else commit(),
        versions=records[-1]['versions'] if records else versions(),
        budget=dict(steps=arm.steps, images_per_step=arm.images_per_step,
                    images_before=arm.images_before, images=arm.budget),
        **score_fields(folder, score, arm.steps,
                       scored_domains(arm.cfg, score)), cpu_seconds=cost.get('seconds'),
        cpu_seconds_complete=bool(cost) and cost['started'] == cost['measured'],
        **encoder_fields(arm, folder, score))


def encoder_fields(arm: Arm, folder: Path, score: str) -> dict[str, Any]:
    """What a row says of the encoder of a run in ``folder``, probed on the first domain of a score
    (:func:`mmseg_dg.apis.encoder_report.encoder_report`)."""
    return encoder_report(arm.cfg, folder, scored_domains(arm.cfg, score)[0])


def score_fields(folder: Path, score: str, steps: int,
                 domains: Sequence[str] = ()) -> dict[str, Any]:
    """What a row says of a run's evaluations.

    Args:
        folder: Work dir.
        score: Key of the row's score, ``<domain>/<metric>``.
        steps: Optimizer steps of the run.
        domains: That make up a mean over domains, for its ``groups``.

    Returns:
        ``score``; of it the mean of the ``last_three`` evaluations, the ``last`` one, the best
        with its iteration (``best_on_validation``, ``best_iteration``), ``rise_in_last_quarter``
        and the ``curve`` by iteration; ``metrics``, every metric's mean of the last three, and
        ``groups``, those of thirds of the classes; ``evaluations``, every metric of every
        evaluation. Numbers that are nan are None.

    Raises:
        NoScore: One of the last three evaluations lacks the score, or has nan; or an evaluation is
            of another training: after more steps than the run has.
    """
    evaluations: Evaluations = evaluations_of(folder)
    if evaluations and max(evaluations) > steps:
        raise NoScore(f'{folder} holds an evaluation after {max(evaluations)} iterations, and the '
                      f'run has {steps}: delete the log folders of the earlier training')
    value = last_three(evaluations, score)
    if not evaluations or math.isnan(value):
        raise NoScore(f'{folder}: no evaluation has {score!r}; the last one has '
                      f'{sorted(evaluations[max(evaluations)])[:12] if evaluations else "nothing"}')
    lacking = [
        n for n in sorted(evaluations)[-3:] if math.isnan(evaluations[n].get(score, math.nan))
    ]
    if lacking:  # the mean of the others would stand for all three
        raise NoScore(f'{folder}: the evaluation after {lacking[0]} iterations has no number for '
                      f'{score!r}; choose a score that is never nan, or train again')
    chosen, best_iteration = best(evaluations, score, less_is_better(score))
    last = evaluations[max(evaluations)]
    keys = [key for key in last if not key.endswith('images')]  # a number of images is no score
    means = {key: plain(last_three(evaluations, key)) for key in keys}
    curve = {str(n): plain(evaluations[n].get(score, math.nan)) for n in sorted(evaluations)}
    # head, middle and tail of the classes by frequency
    groups = {group: _mean_of_group(means, score, group, domains) for group in GROUPS}
    rises = plain(rise(evaluations, score, steps))
    complete = {
        str(n): {key: plain(number)
                 for key, number in sorted(evaluations[n].items())}
        for n in sorted(evaluations)
    }
    return dict(evaluations=complete, score=score, last_three=value,
                last=plain(last.get(score, math.nan)), best_on_validation=chosen,
                best_iteration=best_iteration, rise_in_last_quarter=rises, metrics=means,
                groups=groups, curve=curve)


def _mean_of_group(means: Mapping[str, Optional[float]], score: str, group: str,
                   domains: Sequence[str]) -> Optional[float]:
    """The mIoU of a third of the classes on the domain of a score, or the mean over ``domains`` of
    a mean over domains; None where one has none.
    """
    # 'camera' of 'camera/mIoU', 'camera/ema' where the metric has the prefix 'ema'
    first, _, prefix = score.rpartition('/')[0].partition('/')
    rest = f'{prefix}/' if prefix else ''
    found = [
        means.get(f'{domain}/{rest}mIoU.{group}')
        for domain in (domains if first == 'mean' else [first])
    ]
    kept = [value for value in found if value is not None]
    return sum(kept) / len(kept) if kept and len(kept) == len(found) else None


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


#: Fields that a row must have, and of which type.
_FIELDS: dict[str, Any] = dict(arm=str, seed=int, score=str, last_three=(int, float),
                               best_on_validation=(int, float), metrics=dict, curve=dict,
                               options=list, versions=dict)
#: Fields that must be there, and may be null.
_PRESENT = ('control', 'commit', 'fingerprint', 'rise_in_last_quarter', 'cpu_seconds',
            'cpu_seconds_complete')


def wrong_in(row: Mapping[str, Any]) -> str:
    """What is wrong with the content of a row; '' for nothing.

    A row is refused that is of another schema, lacks a field, or whose numbers do not agree:
    ``last_three`` with the curve, the curve with the evaluations.
    """
    if row.get('schema', SCHEMA) != SCHEMA:  # the first rows did not name it
        return f'schema {row["schema"]}, this version reads {SCHEMA}'
    lacking = [key for key in (*_FIELDS, *_PRESENT) if key not in row]
    lacking += [
        key for key, kind in _FIELDS.items() if key in row and not isinstance(row[key], kind)
    ]
    if lacking:
        return f'no {" and no ".join(lacking)}'
    try:
        curve = {int(n): value for n, value in row['curve'].items()}
        mean = last_three({n: {'': math.nan if v is None else v} for n, v in curve.items()}, '')
        evaluations = row.get('evaluations') or {}
        odd = [n for n, found in evaluations.items() if found.get(row['score']) != curve[int(n)]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return 'a curve or evaluations that cannot be read'
    if not math.isclose(mean, row['last_three'], rel_tol=1e-6, abs_tol=1e-6):
        return f'last_three is {row["last_three"]}, its curve says {mean}'
    return f'curve and evaluations differ at iteration {odd[0]}' if odd else ''


def read_row(path: Path) -> tuple[dict, str]:
    """A row, and what is wrong with it.

    Args:
        path: ``<arm>_seed<N>.json``.

    Returns:
        ``({}, '')`` where there is no file, or a damaged one, which is logged. Else the row, and
        '' or what forbids to use it (:func:`wrong_in`; a file of another name than its row's).
    """
    row = read_record(path, needs='last_three')
    wrong = wrong_in(row) if row else ''
    if row and not wrong and path.name != row_file(path.parent, row['arm'], row['seed']).name:
        name = row_file(path.parent, row['arm'], row['seed']).name
        wrong = f'a row of {row["arm"]}, seed {row["seed"]} is called {name}'
    return row, wrong
