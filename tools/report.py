"""A page about one run, or comparing several: ``python tools/report.py WORK_DIR [WORK_DIR ...]``.

Examples::

    python tools/report.py work_dirs/my_run
    python tools/report.py work_dirs/source_only work_dirs/daformer --titles "day only" adapted --out comparison.html

One self-contained HTML file: scores, pictures with legend, curves, classes, confusion matrices, one training step, the
settings that differ. Needs the work dirs alone. mim run: `mim run mmseg_dg report ...`.
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.report import write_report_page


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='of trainings or tests')
    parser.add_argument('--out', type=Path, metavar='FILE', help='default: report.html in the first work dir')
    parser.add_argument('--titles', nargs='+', metavar='NAME', help='names of the runs (default: their folders)')
    parser.add_argument('--heading', help='title of the page')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = write_report_page(args.work_dirs, args.out or args.work_dirs[0] / 'report.html', args.titles,
                            args.heading)
    sys.stdout.write(f'{out}\n')


if __name__ == '__main__':
    run_tool(main)
