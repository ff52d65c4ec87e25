"""Methods side by side on one benchmark, each beside its control at an equal budget, with several seeds.

Examples::

    python tools/leaderboard.py configs/suites/city_uda.yml --dry-run      # what it would cost
    python tools/leaderboard.py configs/suites/city_uda.yml --out work_dirs/city_uda

The planned CPU-hours are printed first. Start the same command again after an interruption: finished runs are skipped,
the interrupted one is resumed. Writes a JSON row per run, leaderboard.md and leaderboard.html (docs/leaderboard.md).
mim run: `mim run mmseg_dg leaderboard ...`.
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.leaderboard import Leaderboard, read_suite


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('suite', type=Path, metavar='SUITE', help='YAML file of configs/suites')
    parser.add_argument('--out', type=Path, metavar='DIR', help='default: work_dirs/leaderboard_<suite>')
    parser.add_argument('--rows', type=Path, metavar='DIR',
                        help='rows of earlier machines, such as docs/benchmarks/rows/SUITE: those that fit are '
                        'not trained again')
    parser.add_argument('--gpus', type=int, default=0, help='processes of each run; 0 (default): CPU')
    parser.add_argument('--train-script', type=Path, default=Path(__file__).resolve().parent / 'train.py',
                        help='the program that trains (default: train.py beside this file)')
    parser.add_argument('--dry-run', action='store_true', help='only print what is left to do and its CPU-hours')
    parser.add_argument('--pages-only', action='store_true', help='only write rows and pages again')
    return parser.parse_args()


def main() -> int:
    """Run what is left of the suite and write its pages; exit status 1 where a run failed."""
    args = parse_args()
    suite = read_suite(args.suite)
    out = args.out or Path('work_dirs') / f'leaderboard_{suite.name}'
    board = Leaderboard(suite, out, args.train_script, args.gpus, args.rows)
    if args.dry_run:
        sys.stdout.write(board.plan_text() + '\n')
        return 0
    failed = [] if args.pages_only else board.execute()
    for path in board.write():
        sys.stdout.write(f'{path}\n')
    for run in failed:
        sys.stderr.write(f'failed: {run.folder}\n')
    return 1 if failed else 0


if __name__ == '__main__':
    run_tool(main)
