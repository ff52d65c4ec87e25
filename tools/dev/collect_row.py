"""Write the JSON row of a finished training from its work dir.

    python tools/dev/collect_row.py WORK_DIR --out docs/benchmarks/rows/few_labels/NAME.json

Fields are those of the leaderboard's rows, and every score of every evaluation (docs/leaderboard.md, "Rows"). Runs
record their command and commit; for one that did not, give `--commit`, and `--command` where it was more than a config
of the package with `--row`, `--subset` and `--cfg-options`.
"""
import argparse
import importlib
import sys
from pathlib import Path

importlib.import_module('mmseg_dg')  # prepares the library stack before anything imports mmseg

from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.apis.leaderboard.collected import collected_row  # noqa: E402
from mmseg_dg.apis.leaderboard.rows import write_row  # noqa: E402


def main() -> int:
    """Write the row and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--out', type=Path, required=True, help='JSON file of the row')
    parser.add_argument('--score', help='key that is judged by, DOMAIN/METRIC (default: mean/mIoU)')
    parser.add_argument('--arm', help='name of the row (default: config and row)')
    parser.add_argument('--control', help='arm it is compared with')
    parser.add_argument('--commit', help='of the sources it was trained with, where the run has not recorded it')
    parser.add_argument('--command', help='that trained it, where the run has not recorded it')
    parser.add_argument('--encoder', action='store_true',
                        help='also how far the encoder moved, and a probe of it; needs the checkpoint and the data')
    args = parser.parse_args()
    row = collected_row(args.work_dir, args.score, args.arm, args.control, args.commit, args.command, args.encoder)
    write_row(args.out, row)
    print(f'{args.out}: {row["arm"]} seed {row["seed"]}, {row["score"]} {row["last_three"]:.2f} (last '
          f'{row["last"]:.2f})\n{row["command"]}')
    if not row['commit']:
        sys.stderr.write('the commit of the sources is not known: give --commit\n')
    return 0


if __name__ == '__main__':
    run_tool(main)
