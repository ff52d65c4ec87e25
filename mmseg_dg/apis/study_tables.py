"""Scores of finished runs, and the tables a study writes of them."""
import csv
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmseg_dg.utils.run_logs import counted_logs, files_by_iteration, logged_lines


def final_metrics(folder: Path) -> dict:
    """Metrics of a run's last evaluation, unrounded: ``{'cityscapes/mIoU': 61.2, ...}``; empty when
    there is none.

    Reads the last of :func:`evaluation_files` or, for loops that write none,
    ``<timestamp>/vis_data/scalars.json``.
    """
    tables = evaluation_files(folder)
    if tables:
        return read_evaluation(tables[max(tables)])
    # one JSON object per logged step, those of evaluations among them
    lines = [line for start in counted_logs(folder) for line in logged_lines(start)]
    for line in reversed(lines):
        metrics = {
            key: value
            for key, value in line.items() if key.split('/')[-1].startswith(('mIoU', 'IoU', 'aAcc'))
        }
        if metrics:
            return metrics
    return {}


def evaluation_files(folder: Path) -> dict[int, Path]:
    """``{iteration: <timestamp>/evaluation_iter_<N>.csv}`` of the training that a work dir holds,
    ascending.

    A resumed training may have judged an iteration twice: the file of the later start counts. What
    an earlier training left in the folder (``--overwrite`` removes its checkpoints, not its logs)
    is none of this one's.
    """
    return files_by_iteration(folder, r'evaluation_iter_(\d+)\.csv')


def read_evaluation(path: Path) -> dict:
    """``{'<domain>/<metric>': number}`` of an ``evaluation_iter_<N>.csv``; cells that are not
    numbers are left out.
    """
    metrics = {}
    with open(path, newline='', encoding='utf-8') as file:
        for row in csv.DictReader(file):
            domain = row.pop('domain')
            row.pop('images', None)  # how many there are is no metric
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
        With several labeled subsets there are also rows ``subset=all`` over all of them.
    """
    groups: dict = {}  # (setting, metric): values over seeds
    several_subsets = len({run.settings.get('subset') for run, _ in results}) > 1
    for run, metrics in results:
        # a run counts for its own setting, and for that of all subsets together
        counts_for = [run.settings]
        if several_subsets and 'subset' in run.settings:
            counts_for.append(dict(run.settings, subset='all'))
        for settings in counts_for:
            label = ', '.join(f'{key}={value}' for key, value in settings.items()) or '-'
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
    """mIoU of every domain as text in Markdown, a table with one line per setting.

    Args:
        rows: Of :func:`summarize`.
        title: Heading.
        done: Runs finished.
        planned: Runs in all.
    """
    # each once, in the order of their first row
    metrics = list(dict.fromkeys(row['metric'] for row in rows if row['metric'].endswith('mIoU')))
    cells: dict = {}  # setting -> metric -> text
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
    # imported here, since the other tables need no networks
    from mmseg_dg.evaluation.label_free import SCORES
    from mmseg_dg.evaluation.score_direction import less_is_better
    names = list(dict.fromkeys(row['metric'] for row in rows))
    if metric is None:
        # ``mean`` first, then the domains in their order (sorting keeps the order of equal ones)
        label_free = sorted((name for name in names if name.split('/')[-1] == 'label_free'),
                            key=lambda name: not name.startswith('mean/'))
        if not label_free or len({row['setting'] for row in rows}) < 2:
            return ''
        metric = label_free[0]
    if rows and metric not in names:
        raise ValueError(f'--rank-by {metric}: no finished run has this metric; there are '
                         f'{names[:20]}')
    ranked = [row for row in rows if row['metric'] == metric and row['mean'] != '']
    ranked.sort(key=lambda row: row['mean'], reverse=not less_is_better(metric))
    direction = ', less is better' if less_is_better(metric) else ''
    lines = [
        '', f'## Ranked by {metric}{direction}', '', f'| | setting | {metric} | runs |',
        '|---|---|---|---|'
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
