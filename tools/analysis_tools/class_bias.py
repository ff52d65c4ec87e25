"""Compare runs class by class, frequent classes first: ``python tools/analysis_tools/class_bias.py NAME=CSV ...``.

    python tools/analysis_tools/class_bias.py supervised=work/a/evaluation_iter_2000.csv unimatch=work/b/... \\
        --domain camvid_day --out bias.png

The CSV files are those an evaluation with ``ClassBiasMetric`` writes. Prints head, middle and tail means as Markdown.
"""
import argparse
import csv
import sys
from collections.abc import Sequence
from typing import Optional

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.evaluation.bias import domain_bias
from mmseg_dg.visualization import save_picture
from mmseg_dg.visualization.bias_pictures import class_iou_chart

#: Metrics of the printed table; head, middle and tail are classes by how frequent they are.
_SUMMARY = ('mIoU', 'mIoU.head', 'mIoU.middle', 'mIoU.tail', 'mAcc')


def read_row(path: str, domain: str) -> dict[str, float]:
    """The numbers of one domain in an evaluation's CSV file, which has a line per domain.

    Returns:
        ``{'<domain>/<column>': number}``, as an evaluation names its metrics; columns that are no
        number are left out.

    Raises:
        ValueError: No such domain, or no shares in the file.
    """
    with open(path, newline='', encoding='utf-8') as file:
        rows = {row['domain']: row for row in csv.DictReader(file)}
    if domain not in rows:
        raise ValueError(f'{path} has no domain {domain!r}: use one of {sorted(rows)}')
    numbers = {}
    for key, value in rows[domain].items():
        try:
            numbers[f'{domain}/{key}'] = float(value)
        except (TypeError, ValueError):
            continue
    if domain not in domain_bias(numbers):
        raise ValueError(f"{path} has no class shares: evaluate with val_evaluator=dict(type='ClassBiasMetric')")
    return numbers


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Draw the picture, print the table; exit status 1 where the runs cannot be compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='NAME=CSV', help='evaluations to compare')
    parser.add_argument('--domain', required=True, help='evaluated domain')
    parser.add_argument('--out', default='class_bias.png', help='picture to write')
    args = parser.parse_args(argv)
    iou: dict[str, list[float]] = {}  # by run
    reference: Optional[tuple[list[str], list[float]]] = None  # classes and shares of the first run
    try:
        lines = ['| run | ' + ' | '.join(_SUMMARY) + ' |', '|---' * (len(_SUMMARY) + 1) + '|']
        for entry in args.runs:
            name, _, path = entry.rpartition('=')
            numbers = read_row(path, args.domain)
            classes, shares, iou[name or path] = domain_bias(numbers)[args.domain]
            reference = reference or (classes, shares)
            # shares are percent; the files round them
            if classes != reference[0] or max(abs(a - b) for a, b in zip(shares, reference[1])) > 0.01:
                raise ValueError(f'{path} has other classes or class shares than the first run, so that head, middle '
                                 'and tail are not the same: give ClassBiasMetric one frequency for all runs')
            cells = [f'{numbers.get(f"{args.domain}/{key}", float("nan")):.2f}' for key in _SUMMARY]
            lines.append(f'| {name or path} | ' + ' | '.join(cells) + ' |')
        save_picture(class_iou_chart(iou, shares, classes, args.domain), args.out)
    except (ValueError, FileNotFoundError) as error:
        print(f'class_bias: {error}', file=sys.stderr)
        return 1
    print('\n'.join(lines))
    return 0


if __name__ == '__main__':
    run_tool(main)
