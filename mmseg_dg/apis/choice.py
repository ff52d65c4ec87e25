"""How well label-free scores choose: rank correlation with the true mIoU, and regret, over finished
runs.

Regret is what choosing costs against choosing by labels, in points of mIoU: the highest mIoU of a
run, less that of the evaluation that was chosen. Taking the last evaluation is the rule to beat.
"""
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np

from mmseg_dg.engine.loops.multi_domain import mean_over_domains
from mmseg_dg.evaluation.label_free import SCORES
from mmseg_dg.evaluation.score_direction import less_is_better

from .leaderboard.rows import evaluations_in
from .study_tables import evaluation_files, read_evaluation

#: What a score must reach before it may choose checkpoints by default: at most so many points of
#: mIoU lost in the median run, and at least this rank correlation over all runs.
MEDIAN_REGRET, CORRELATION = 1.5, 0.6


@dataclass
class Curve:
    """One run. Evaluations whose mIoU is nan (no pixel was labeled) are left out.

    Attributes:
        name: Of its folder or row.
        iterations: Of its evaluations, ascending.
        miou: True scores in percent, (n,).
        scores: Label-free scores by name, (n,) each; nan where one could not be computed.

    Raises:
        ValueError: No evaluation has a mIoU.
    """
    name: str
    iterations: list[int]
    miou: list[float]
    scores: dict[str, list[float]]

    def __post_init__(self) -> None:
        """Leave out what cannot be judged."""
        kept = [i for i, miou in enumerate(self.miou) if not math.isnan(miou)]
        if not kept:
            raise ValueError(f'{self.name}: the mIoU of every evaluation is nan: no pixel of the '
                             'domain is labeled')
        self.iterations = [self.iterations[i] for i in kept]
        self.miou = [self.miou[i] for i in kept]
        self.scores = {name: [values[i] for i in kept] for name, values in self.scores.items()}


@dataclass
class Judged:
    """One label-free score over all runs.

    Attributes:
        score: Its name; ``'last'`` for taking the last evaluation.
        spearman: Rank correlation with the mIoU over all evaluations of all runs; nan for
            ``'last'``.
        within: Mean over runs of the correlation inside a run.
        regrets: Points lost in each run.
        across: Points lost when one evaluation of all runs is chosen, as among settings; nan for
            ``'last'``.
    """
    score: str
    spearman: float
    within: float
    regrets: list[float]
    across: float

    @property
    def median_regret(self) -> float:
        """Points of mIoU that choosing by this score loses in the median run."""
        return median(self.regrets)


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    array = np.asarray(values, np.float64)
    # of each value: how many are smaller, and how many are equal (itself included)
    less = (array[None] < array[:, None]).sum(1)
    equal = (array[None] == array[:, None]).sum(1)
    return less + (equal + 1) / 2  # mean of the ranks less + 1, ..., less + equal


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation; nan for fewer than two values or where one side is constant. Pairs with a
    nan do not count.

    Raises:
        ValueError: Different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f'spearman compares lists of one length, got {len(a)} and {len(b)}')
    pairs = [pair for pair in zip(a, b) if not any(map(math.isnan, pair))]
    x, y = ranks([value for value, _ in pairs]), ranks([value for _, value in pairs])
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return math.nan
    return float(((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std()))


def read_curves(folders: Sequence[Path], choose_on: str, report_on: str) -> list[Curve]:
    """The scores of runs over their evaluations, one :class:`Curve` per run.

    Args:
        folders: Work dirs of trainings, or files of their rows (``rows/<arm>_seed<N>.json``).
        choose_on: Domain whose label-free scores choose; ``mean``: their means over domains.
        report_on: Domain whose mIoU counts, or ``mean``.

    Returns:
        The curves, in the order of ``folders``, by names that tell them apart
        (:func:`names_of_runs`). ``scores`` of each has ``label_free`` (all scores combined) and
        those of ``SCORES`` that every kept evaluation of the run has.

    Raises:
        ValueError: A run without evaluations of both, or a file that is no row.
    """
    curves = []
    for folder, name_of_run in zip(folders, names_of_runs(folders)):
        # {iteration: {'<domain>/<metric>': number}}
        evaluations = {n: with_means(values) for n, values in _evaluations(Path(folder)).items()}
        # only those that have both the label-free score and the mIoU
        kept = {
            n: values
            for n, values in sorted(evaluations.items())
            if f'{report_on}/mIoU' in values and f'{choose_on}/label_free' in values
        }
        if not kept:
            raise ValueError(
                f'{folder}: no evaluation has {report_on}/mIoU and {choose_on}/label_free; give '
                "these domains [dict(type='ConfusionMatrixMetric'), dict(type='LabelFreeMetric')]")
        names = [
            name for name in ('label_free', *SCORES)
            if all(f'{choose_on}/{name}' in metrics for metrics in kept.values())
        ]
        curves.append(
            Curve(
                name=name_of_run, iterations=list(kept),
                miou=[metrics[f'{report_on}/mIoU'] for metrics in kept.values()], scores={
                    name: [metrics[f'{choose_on}/{name}'] for metrics in kept.values()]
                    for name in names
                }))
    return curves


def _evaluations(path: Path) -> dict[int, dict[str, float]]:
    """``{iteration: {'<domain>/<metric>': number}}`` of a row's file or a work dir."""
    if path.suffix == '.json':
        return evaluations_in(path)
    return {n: read_evaluation(file) for n, file in evaluation_files(path).items()}


def names_of_runs(folders: Sequence[Path]) -> list[str]:
    """A name for each run: that of its folder, or of its row without the ending. Where two are the
    same (``seed0`` of each arm), all names are paths below the folder that they share.
    """
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    paths = [path.with_suffix('') if path.suffix == '.json' else path for path in paths]
    names = [path.name for path in paths]
    if len(set(paths)) == 1 or len(set(names)) == len(names):
        return names
    shared = os.path.commonpath(paths)
    return [path.relative_to(shared).as_posix() for path in paths]


def with_means(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of an evaluation with the means over domains that earlier versions left out: they
    wrote ``mean/mIoU`` and ``mean/label_free`` alone.

    Nothing is added where the mean of ``label_free`` is not that of all its domains: then one of
    them is a source, and the metrics do not say which.
    """
    by_domain: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        domain, _, name = key.partition('/')
        if domain != 'mean':
            by_domain.setdefault(domain, {})[name] = value
    means, key = mean_over_domains(by_domain), 'mean/label_free'
    same = key in metrics and key in means and math.isclose(metrics[key], means[key], rel_tol=1e-6)
    return {**(means if same else {}), **metrics}


def judge(curves: Sequence[Curve]) -> list[Judged]:
    """Every label-free score that all runs have, and ``'last'``, the lowest median regret first.

    Raises:
        ValueError: No run.
    """
    if not curves:
        raise ValueError('there is no run to judge by')
    names = [name for name in curves[0].scores if all(name in curve.scores for curve in curves)]
    judged = [
        Judged(score='last', spearman=math.nan, within=math.nan,
               regrets=[max(curve.miou) - curve.miou[-1] for curve in curves], across=math.nan)
    ]
    every_miou = [miou for curve in curves for miou in curve.miou]
    for name in names:
        # a score of which less is better is negated, so that the highest value is the choice
        sign = -1 if less_is_better(name) else 1
        values_by_run = [[sign * value for value in curve.scores[name]] for curve in curves]
        every_value = [value for values in values_by_run for value in values]
        # the true mIoU of the evaluation that the score chooses: in each run, and of all runs
        picked = [curve.miou[_highest(values)] for curve, values in zip(curves, values_by_run)]
        known = [value for value in every_value if not math.isnan(value)]
        # of equal values the first; without any there is nothing to choose by: the last evaluation
        picked_of_all = every_miou[every_value.index(max(known)) if known else -1]
        within = [spearman(values, curve.miou) for curve, values in zip(curves, values_by_run)]
        defined = [correlation for correlation in within if not math.isnan(correlation)]
        judged.append(
            Judged(score=name, spearman=spearman(every_value, every_miou),
                   within=fmean(defined) if defined else math.nan,
                   regrets=[max(curve.miou) - miou for curve, miou in zip(curves, picked)],
                   across=max(every_miou) - picked_of_all))
    # of equal regrets 'last' goes first: it is the rule to beat
    return sorted(judged, key=lambda one: (one.median_regret, one.score != 'last'))


def _highest(values: Sequence[float]) -> int:
    """Index of the highest value; the last of equal ones, as more training is not worse. A nan is
    chosen only where there is nothing else.
    """
    comparable = [-math.inf if math.isnan(value) else value for value in values]
    return max(range(len(values)), key=lambda i: (comparable[i], i))


def may_choose(one: Judged, last: Judged) -> bool:
    """Whether a score is good enough to choose by default (docs/choosing_without_labels.md).

    Args:
        one: The score.
        last: The entry of :func:`judge` for ``'last'``, taking the last evaluation, which the score
            must beat.
    """
    return (one.score != 'last' and one.median_regret <= MEDIAN_REGRET
            and one.median_regret < last.median_regret and one.spearman >= CORRELATION)


def choice_table(judged: Sequence[Judged], runs: int) -> str:
    """The scores as a table in Markdown, and which of them may choose, as text.

    Args:
        judged: Of :func:`judge`.
        runs: Number of runs, for the first line.
    """
    last = next(one for one in judged if one.score == 'last')
    lines = [
        f'{runs} runs; regret in points of mIoU against choosing by labels.', '',
        '| score | Spearman, all | Spearman, within runs | median regret | largest | regret '
        'among all runs | '
        'may choose |', '|---|---:|---:|---:|---:|---:|---|'
    ]
    for one in judged:
        verdict = '-' if one is last else 'yes' if may_choose(one, last) else 'no'
        lines.append(f'| {one.score} | {_number(one.spearman)} | {_number(one.within)} | '
                     f'{one.median_regret:.2f} | {max(one.regrets):.2f} | {_number(one.across)} | '
                     f'{verdict} |')
    good = [one.score for one in judged if may_choose(one, last)]
    lines += [
        '',
        f'May choose: {", ".join(good)}.' if good else 'None may choose: take the last checkpoint.'
    ]
    return '\n'.join(lines) + '\n'


def by_run(curves: Sequence[Curve], judged: Sequence[Judged]) -> list[Mapping[str, object]]:
    """A row per run: its name, its highest mIoU (``best``), and its regret by each score.

    Args:
        curves: Of :func:`read_curves`.
        judged: Of :func:`judge` for these curves, whose ``regrets`` are in the same order.
    """
    return [
        dict(run=curve.name, best=max(curve.miou), **{one.score: one.regrets[i]
                                                      for one in judged})
        for i, curve in enumerate(curves)
    ]


def _number(value: float) -> str:
    """A cell of the table; '-' for nan."""
    return '-' if math.isnan(value) else f'{value:.2f}'
