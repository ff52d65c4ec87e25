"""Gains of arms on their controls, from the rows and the counts by drive beside them."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from mmseg_dg.evaluation.drives import bootstrap_difference, not_comparable, read_counts
from mmseg_dg.evaluation.score_direction import less_is_better

from .judgment import Gain, paired_gain
from .rows import ROWS, counts_file, row_file
from .scores import counts_drives, scored_domains
from .suite import Arm, Suite

#: Name of the arm -> seed -> row (fields: docs/leaderboard.md), of finished runs.
Rows = Mapping[str, Mapping[int, dict]]


def gain_of(suite: Suite, folder: Path, rows: Rows, arm: Arm) -> Optional[Gain]:
    """An arm against its control, over the seeds that both have runs of.

    Args:
        suite: What is compared.
        folder: Of the leaderboard; counts by drive are read beside its rows.
        rows: By arm and seed; has the arm.
        arm: The arm.

    Returns:
        The gain in points; None for an arm without a control, or where no seed has both.
    """
    if arm.control is None or not rows.get(arm.control):
        return None
    ours, theirs = rows[arm.name], rows[arm.control]
    seeds = [seed for seed in sorted(ours) if seed in theirs]
    drives, lacking = _over_drives(suite, folder, arm, seeds)
    score = {seed: ours[seed]['last_three'] for seed in seeds}
    control_score = {seed: theirs[seed]['last_three'] for seed in seeds}
    return paired_gain(score, control_score, drives, lacking, less_is_better(suite.score))


def _over_drives(suite: Suite, folder: Path, arm: Arm,
                 seeds: Sequence[int]) -> tuple[Optional[tuple[float, float]], str]:
    """The 95 % interval of an arm's gain over resampled drives, in points, and ''; else None and
    why there is none, '' where no evaluator counts drives.
    """
    control = suite.arm(str(arm.control))
    asked = any(counts_drives(each.cfg, suite.score) for each in (arm, control))
    # their counts of classes give the mIoU only
    if suite.score.split('/')[1:] != ['mIoU']:
        return None, 'drives are resampled for the mIoU alone' if asked else ''
    domains = scored_domains(arm.cfg, suite.score)
    files = [[row_file(folder / ROWS, each.name, seed) for seed in seeds]
             for each in (arm, control)]
    counts = {row: _drives_by_domain(row, domains) for rows in files for row in rows}
    missing = [row.stem for row, found in counts.items() if found is None]
    if missing:  # nothing is resampled unless every run of both has left counts
        return None, f'no counts by drive of {", ".join(missing)}' if asked else ''
    ours, theirs = ([counts[row] or {} for row in rows] for rows in files)
    why = not_comparable(ours, theirs)
    return bootstrap_difference(ours, theirs), why if asked else ''


def _drives_by_domain(row: Path, domains: Sequence[str]) -> Optional[dict]:
    """Counts of drives beside a row, ``{domain: [its last evaluations]}``; None unless all domains
    have them.
    """
    found = read_counts(counts_file(row))
    if any(domain not in found for domain in domains):
        return None
    return {domain: found[domain] for domain in domains}
