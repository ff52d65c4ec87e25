"""Charts of runs: losses, scores over iterations, classes, confusion matrices; matplotlib without a
display.
"""
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
from matplotlib.figure import Figure

from .run_record import RunRecord, read_confusion, read_run

#: Colors that stay apart for readers who do not tell red from green (Okabe and Ito, "Color
#: Universal Design").
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#999999')


def color_of(number: int) -> str:
    """Color of the n-th run or curve; they repeat after eight."""
    return COLORS[number % len(COLORS)]


def losses_of(record: RunRecord) -> dict[str, list[tuple[int, float]]]:
    """Curves ``{name: [(iteration, value), ...]}`` of what is minimized: ``loss``, the total, and
    the losses of every pass (``<pass>.loss...``).
    """
    return {
        key: points
        for key, points in record.scalars.items() if key.split('.')[-1].startswith('loss')
    }


def loss_chart(records: Sequence[RunRecord]) -> Optional[Figure]:
    """Losses by pass, one panel per run, on a logarithmic scale; None without any curve."""
    kept = [record for record in records if losses_of(record)]
    if not kept:
        return None
    figure = Figure(figsize=(8, 2.6 * len(kept)), layout='constrained')
    for axes, record in zip(figure.subplots(len(kept), 1, squeeze=False)[:, 0], kept):
        for number, (key, points) in enumerate(losses_of(record).items()):
            # points are (iteration, value)
            axes.plot(*zip(*points), label=key, color=color_of(number),
                      linewidth=2.2 if key == 'loss' else 1.2)
        axes.set_title(record.title, fontsize=10)
        axes.set_xlabel('iteration')
        axes.set_ylabel('loss')
        if all(value > 0 for points in losses_of(record).values() for _, value in points):
            axes.set_yscale('log')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc='upper right')
    return figure


def score_curves(record: RunRecord) -> dict[str, list[tuple[int, float]]]:
    """``{domain: [(iteration, mIoU), ...]}`` from the validations of the run; tests, which have no
    iteration, are left out.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for evaluation in record.evaluations:
        if evaluation.iteration is not None:
            for domain, values in evaluation.domains.items():
                if 'mIoU' in values:
                    curves.setdefault(domain, []).append((evaluation.iteration, values['mIoU']))
    return curves


def score_chart(records: Sequence[RunRecord]) -> Optional[Figure]:
    """mIoU over iterations, a panel per domain, a curve per run; None where no run has two
    validations.
    """
    curves = [score_curves(record) for record in records]
    domains = list(dict.fromkeys(domain for c in curves for domain in c))
    if not any(len(points) > 1 for c in curves for points in c.values()):
        return None
    figure = Figure(figsize=(8, 2.4 * len(domains)), layout='constrained')
    for axes, domain in zip(figure.subplots(len(domains), 1, squeeze=False)[:, 0], domains):
        for number, (record, found) in enumerate(zip(records, curves)):
            if domain in found:
                axes.plot(*zip(*found[domain]), marker='o', label=record.title,
                          color=color_of(number))
        axes.set_title(domain, fontsize=10)
        axes.set_xlabel('iteration')
        axes.set_ylabel('mIoU (%)')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure


def class_scores(record: RunRecord, domain: str) -> dict[str, float]:
    """``{class: IoU in percent}`` of a domain in the run's newest evaluation; classes that do not
    occur (nan) are left out.
    """
    values = record.newest.domains.get(domain, {}) if record.newest else {}
    return {
        key[len('IoU.'):]: value
        for key, value in values.items() if key.startswith('IoU.') and not math.isnan(value)
    }


def class_chart(records: Sequence[RunRecord], domain: str) -> Optional[Figure]:
    """Horizontal bars of IoU by class, the runs side by side; None where the domain has no classes.
    """
    found = [class_scores(record, domain) for record in records]
    names = list(dict.fromkeys(name for scores in found for name in scores))
    if not names:
        return None
    figure = Figure(figsize=(8, 0.7 + len(names) * (0.18 + 0.13 * len(records))),
                    layout='constrained')
    axes = figure.subplots()
    height = 0.84 / len(records)  # bars of all runs fill 0.84 of a class's room
    for number, (record, scores) in enumerate(zip(records, found)):
        places = np.arange(len(names)) + (number - (len(records) - 1) / 2) * height
        axes.barh(places, [scores.get(name, 0) for name in names], height, label=record.title,
                  color=color_of(number))
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.invert_yaxis()  # the first class on top
    axes.set_xlim(0, 100)
    axes.set_xlabel('IoU (%)')
    axes.grid(axis='x', alpha=0.3)
    axes.legend(fontsize=7)
    return figure


def confusion_chart(matrix: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """A confusion matrix with rows normalized to 1: where the pixels of each true class went.

    Args:
        matrix: Pixel counts (C, >= C); rows are true classes. A further column counts predictions
            of no class.
        names: C class names.
        title: Above it.

    Returns:
        A figure that grows with the number of classes.
    """
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(4.0, 0.32 * len(names) + 2)
    figure = Figure(figsize=(size + 0.6, size), layout='constrained')
    axes = figure.subplots()
    picture = axes.imshow(share, vmin=0, vmax=1, cmap='cividis', aspect='auto')
    columns = [*names, 'other'][:matrix.shape[1]]
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true class')
    axes.set_title(title, fontsize=10)
    figure.colorbar(picture, ax=axes, shrink=0.7, label='share of the true class')
    return figure


def svg_of(figure: Figure) -> str:
    """The figure as an ``<svg>`` element; text stays text. Equal figures give equal elements:
    without a date, and with a fixed salt of the ids in it.
    """
    import matplotlib
    buffer = io.StringIO()
    with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'mmseg_dg'}):
        figure.savefig(buffer, format='svg', metadata={'Date': None})
    text = buffer.getvalue()
    return text[text.index('<svg'):]  # without the head of an XML file


def write_charts(folder: Path) -> list[Path]:
    """Write ``losses.png``, ``scores.png`` and ``confusion_<domain>.png`` of the run in a work dir.

    Returns:
        The files, none where the run has nothing to draw.

    Raises:
        FileNotFoundError: No run in the folder.
    """
    record = read_run(folder)
    tested = record.newest.name.replace('_', ' ') if record.newest else ''
    figures = {'losses.png': loss_chart([record]), 'scores.png': score_chart([record])}
    newest = record.newest
    for path in sorted(newest.material.glob('*/confusion.csv')) if newest else []:
        names, matrix = read_confusion(path)
        # the matrix lies in a folder named by its domain
        figures[f'confusion_{path.parent.name}.png'] = confusion_chart(
            matrix, names, f'{path.parent.name}, {tested}')
    written = []
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=110)
            written.append(folder / name)
    return written
