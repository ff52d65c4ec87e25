"""What may be said of an arm: its score, whether it still rises, and whether it gains on its
control."""
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

#: 97.5 % points of Student's t by degrees of freedom, 1 to 30 (any table of the distribution); 1.96
#: beyond.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
      2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
      2.052, 2.048, 2.045, 2.042)
#: Points in the last quarter of a training above which an arm counts as unfinished.
RISE = 1.0
#: Iteration -> ``'<domain>/<metric>'`` -> number, of one run.
Evaluations = Mapping[int, Mapping[str, float]]


class Gain(NamedTuple):
    """An arm against its control, in points.

    Attributes:
        mean: Of the differences by seed.
        half: Half of the 95 % interval over seeds (Student's t); None for fewer than two pairs.
        pairs: Number of seeds both have.
        drives: 95 % interval over resampled drives; None where there is none.
        verdict: ``'gain'`` or ``'loss'`` where every interval leaves out 0, ``'level'`` where one
            holds it, ``'one seed'`` where nothing can be said; ``'gain (seeds alone)'`` or ``'loss
            (seeds alone)'`` where the interval over drives is asked for and lacking.
        lacking: Why the interval over drives is lacking; '' where it is there or not asked for.
    """
    mean: float
    half: Optional[float]
    pairs: int
    drives: Optional[tuple[float, float]]
    verdict: str
    lacking: str = ''


def last_three(evaluations: Evaluations, key: str) -> float:
    """Mean of a metric over the last three evaluations; nan where none has it. Values that are nan
    do not count."""
    values = [evaluations[n][key] for n in sorted(evaluations)[-3:] if key in evaluations[n]]
    kept = [value for value in values if not math.isnan(value)]
    return statistics.fmean(kept) if kept else math.nan


def best(evaluations: Evaluations, key: str, less: bool = False) -> tuple[float, int]:
    """The highest value of a metric (the lowest with ``less``, where less is better) and its
    iteration, of equal ones the first: what choosing on validation labels would have reported.
    (nan, 0) where no evaluation has a value.
    """
    sign = -1 if less else 1
    found = [(values[key], n) for n, values in evaluations.items()
             if not math.isnan(values.get(key, math.nan))]
    return max(found, key=lambda pair: (sign * pair[0], -pair[1])) if found else (math.nan, 0)


def rise(evaluations: Evaluations, key: str, steps: int) -> float:
    """Points that a metric gained in the last quarter of a training.

    Args:
        evaluations: Of the run.
        key: ``'<domain>/<metric>'``.
        steps: Optimizer steps of the run.

    Returns:
        Its last value minus the last one within the first three quarters of the steps; nan where
        there is no such evaluation, or the last one lacks the metric.
    """
    early = [n for n in evaluations if n <= 0.75 * steps and key in evaluations[n]]
    if not early or not evaluations:
        return math.nan
    return evaluations[max(evaluations)].get(key, math.nan) - evaluations[max(early)][key]


def mean_and_spread(values: Sequence[float]) -> tuple[float, Optional[float]]:
    """Mean and sample standard deviation; None for a single value, nan without any."""
    if not values:
        return math.nan, None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def half_interval(values: Sequence[float]) -> Optional[float]:
    """Half of the 95 % interval of the mean (Student's t); None for fewer than two values."""
    if len(values) < 2:
        return None
    freedom = len(values) - 1  # _T[0] is for 1 degree of freedom
    t = _T[freedom - 1] if freedom <= len(_T) else 1.96
    return t * statistics.stdev(values) / math.sqrt(len(values))


def paired_gain(ours: Mapping[int, float], control: Mapping[int, float],
                drives: Optional[tuple[float, float]] = None, lacking: str = '',
                less: bool = False) -> Optional[Gain]:
    """Difference by seed; None without a seed that both have.

    Args:
        ours: Seed to score.
        control: The same of the control.
        drives: Of :func:`mmseg_dg.evaluation.drives.bootstrap_difference`: (low, high) of the
            difference over resampled drives.
        lacking: Why there is none, where one is asked for.
        less: Whether less is better: differences below 0 are then gains.

    Returns:
        Mean difference, half the width of its 95 % interval over seeds (None for one seed), and the
        verdict: ``gain`` or ``loss`` only if all intervals that are asked for are there and lie on
        one side of 0.
    """
    differences = [ours[seed] - control[seed] for seed in ours if seed in control]
    if not differences:
        return None
    mean, half = statistics.fmean(differences), half_interval(differences)
    # (low, high) over seeds, and over drives where they were resampled
    intervals = [] if half is None else [(mean - half, mean + half)]
    intervals += [drives] if drives is not None else []
    above, below = ('loss', 'gain') if less else ('gain', 'loss')
    alone = ' (seeds alone)' if lacking and drives is None else ''
    if half is None:
        verdict = 'one seed'
    elif all(low > 0 for low, _ in intervals):
        verdict = above + alone
    elif all(high < 0 for _, high in intervals):
        verdict = below + alone
    else:
        verdict = 'level'
    return Gain(mean, half, len(differences), drives, verdict, lacking if drives is None else '')
