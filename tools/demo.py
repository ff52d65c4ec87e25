"""Adapt a small network on the built-in city, beside its controls: ``make demo`` or ``mim run mmseg_dg demo``.

Nothing is fetched: the pictures are rendered, the network ships with the package. Ends with one table and the path of
one page.
"""
import argparse
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')  # the networks are tiny: threads that wait cost more than they do

import mmseg_dg  # noqa: E402,F401  prepares the library stack
from mmseg_dg.apis.demo import DEMOS, run  # noqa: E402
from mmseg_dg.apis.entry import run_tool  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--method', default='daformer', choices=sorted(DEMOS), help='default: daformer')
    parser.add_argument('--out', default='work_dirs/demo', metavar='DIR',
                        help='folder of the results (default: work_dirs/demo); a new numbered one if it is there')
    parser.add_argument('--seed', type=int, default=0, help='of every arm (default: 0)')
    parser.add_argument('--jobs', type=int, default=None, help='arms at once (default: processors, at most 2)')
    parser.add_argument('--arms', nargs='+', default=None, metavar='NAME', help='some arms only (default: all)')
    parser.add_argument('--options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='settings for every arm, e.g. train_cfg.max_iters=50')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run(args.method, args.out, args.seed, args.jobs, args.options, args.arms)


if __name__ == '__main__':
    run_tool(main)
