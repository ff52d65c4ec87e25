"""Charts of bias: IoU of every class in the order of its frequency, and what pseudo-labels
consisted of over time.

Shapes: T validations, C classes, H x W pixels.
"""
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from mmseg_dg.evaluation.bias import frequency_groups, sort_by_frequency

_DPI = 100  # pixels per inch: figures are sized in inches


def class_iou_chart(iou: Mapping[str, Sequence[float]], shares: Sequence[float],
                    classes: Sequence[str], title: str = '') -> np.ndarray:
    """IoU per class, most frequent class first, one bar per run; head, middle and tail apart.

    Args:
        iou: ``{name of a run: IoU in percent per class}``; nan where a class does not occur.
        shares: Share of pixels per class, in percent, by which the classes are sorted.
        classes: Names, in the order of ``shares``.
        title: Above the chart.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ValueError: No run, or lists of different lengths.
    """
    if not iou or any(len(values) != len(classes) for values in (*iou.values(), shares)):
        raise ValueError(
            f'give at least one run and one number per class ({len(classes)}) for each')
    order, groups = sort_by_frequency(shares), frequency_groups(shares)
    figure, axes = _figure(max(6.0, 0.75 * len(classes) + 1.5), 4.0)
    width, x = 0.8 / len(iou), np.arange(len(order))  # bars of all runs fill 0.8 of a class's room
    for k, (name, values) in enumerate(iou.items()):
        axes.bar(x + (k - (len(iou) - 1) / 2) * width, np.nan_to_num([values[i] for i in order]),
                 width, label=name)
    # above each group its mean per run; a line between groups
    start = 0
    for name, members in groups.items():
        # per run, if any class of the group has an IoU there (nan is not equal to itself)
        mean = [
            np.nanmean([values[i] for i in members] or [np.nan]) for values in iou.values()
            if any(values[i] == values[i] for i in members)
        ]
        label = name if not mean else f'{name}: ' + ' / '.join(f'{m:.1f}' for m in mean)
        axes.text(start + (len(members) - 1) / 2, 101, label, ha='center', va='bottom', fontsize=8)
        start += len(members)
        if start < len(order):
            axes.axvline(start - 0.5, color='0.7', linewidth=1)
    axes.set_xticks(x, [f'{classes[i]}\n{shares[i]:.2g} %' for i in order], rotation=45, ha='right',
                    fontsize=8)
    axes.set(ylim=(0, 108), xlim=(-0.6, len(order) - 0.4), ylabel='IoU (%)')
    if len(iou) > 1:
        axes.legend(fontsize=8, loc='upper right', bbox_to_anchor=(1.0, 0.95))
    return _picture(figure, title)


def class_share_chart(iterations: Sequence[int], shares: Any, entropy: Sequence[float],
                      classes: Sequence[str], palette: Optional[Sequence[Sequence[int]]] = None,
                      title: str = '') -> np.ndarray:
    """Class histogram of pseudo-labels over training as stacked areas, and its entropy as a line.

    Args:
        iterations: T positions.
        shares: (T, C) shares of the pixels that were learned from, each row summing to 1 (or all
            nan).
        entropy: T entropies in nats.
        classes: C names.
        palette: RGB per class; None: matplotlib's colors.
        title: Above the chart.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ValueError: Shapes that do not fit.
    """
    shares = np.nan_to_num(np.asarray(shares, np.float64))
    if shares.shape != (len(iterations),
                        len(classes)) or len(entropy) != len(iterations) or not len(iterations):
        raise ValueError(f'{len(iterations)} iterations and {len(classes)} classes need shares of '
                         f'that shape and as many entropies, got {shares.shape} and {len(entropy)}')
    figure, axes = _figure(8.0, 4.0)
    colors = None if palette is None else [np.asarray(c) / 255 for c in palette[:len(classes)]]
    axes.stackplot(iterations, shares.T * 100, labels=list(classes), colors=colors)
    axes.set(ylim=(0, 100), xlabel='iteration', ylabel='share of pseudo-labeled pixels (%)')
    if len(iterations) > 1:
        axes.set_xlim(iterations[0], iterations[-1])
    right = axes.twinx()
    right.plot(iterations, entropy, color='black', linewidth=1.5)
    right.set(ylim=(0, np.log(len(classes)) * 1.02), ylabel='entropy (nats; uniform '
              f'{np.log(len(classes)):.2f})')
    if len(classes) <= 30:
        axes.legend(fontsize=7, loc='center left', bbox_to_anchor=(1.1, 0.5))
    return _picture(figure, title)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """An empty figure of this size in inches, and its axes."""
    # not through pyplot, which keeps figures alive and wants a backend with a display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), dpi=_DPI, layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _picture(figure: Any, title: str) -> np.ndarray:
    """The figure, drawn with a title above it ('': none), as uint8 RGB (H, W, 3)."""
    if title:
        figure.suptitle(title, fontsize=10)
    figure.canvas.draw()
    return np.ascontiguousarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
