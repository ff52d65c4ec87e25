"""What choosing checkpoints without labels would have cost, over finished trainings of a domain that has labels.

Examples::

    python tools/analysis_tools/label_free_regret.py work_dirs/study_*/* --domain target
    python tools/analysis_tools/label_free_regret.py RUN ... --choose-on camvid_day --report-on idd --out regret
    python tools/analysis_tools/label_free_regret.py work_dirs/city_uda/rows/*.json --domain target  # of a leaderboard

The runs' evaluators must be [dict(type='ConfusionMatrixMetric'), dict(type='LabelFreeMetric')], or another with mIoU
in the place of the first (DriveMetric in suites). Writes regret.md and regret.csv (docs/choosing_without_labels.md).
mim run: `mim run mmseg_dg label_free_regret ...`.
"""
import argparse
import csv
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.choice import by_run, choice_table, judge, read_curves
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.utils.atomic_files import write_text, written_whole


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='of trainings, or their rows')
    parser.add_argument('--domain', help='its label-free scores choose, its mIoU counts')
    parser.add_argument('--choose-on', metavar='DOMAIN', help='the first of these alone')
    parser.add_argument('--report-on', metavar='DOMAIN', help='the second alone')
    parser.add_argument('--out', type=Path, default=Path('regret'), metavar='STEM', help='default: regret')
    args = parser.parse_args()
    args.choose_on, args.report_on = args.choose_on or args.domain, args.report_on or args.domain
    if not (args.choose_on and args.report_on):
        parser.error('give --domain, or --choose-on and --report-on')
    return args


def main() -> None:
    """Write both files and print the page: per score, what choosing by it would have cost."""
    args = parse_args()
    curves = read_curves(args.work_dirs, args.choose_on, args.report_on)
    judged = judge(curves)
    text = f'# Chosen on {args.choose_on}, reported on {args.report_on}\n\n' + choice_table(judged, len(curves))
    write_text(args.out.with_suffix('.md'), text)
    rows = by_run(curves, judged)  # one dict for each run, with the columns of the file
    with written_whole(args.out.with_suffix('.csv')) as part, open(part, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    sys.stdout.write(text)


if __name__ == '__main__':
    run_tool(main)
