"""Which pretrained encoders are there, where to fetch the others, and their conversion: nothing is downloaded.

Examples::

    python tools/prepare_weights.py                                   # or: mim run mmseg_dg prepare_weights
    python tools/prepare_weights.py mit_b5                            # converts a file found in pretrained/
    python tools/prepare_weights.py mit_b5 --source ~/mit_b5.pth      # converts that file
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import USER_ERRORS, run_tool
from mmseg_dg.weights.files import Problem
from mmseg_dg.weights.preparation import prepare, table_rows


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='encoders to check and convert; none: list all')
    parser.add_argument('--source', type=Path, metavar='FILE', help='the fetched file (with one NAME)')
    parser.add_argument('--folder', type=Path, default=Path('pretrained'), help='where prepared files lie')
    parser.add_argument('--accept-checksum', action='store_true', help='use a file whose SHA-256 is not a known one')
    args = parser.parse_args()
    if args.source is not None and len(args.names) != 1:
        parser.error('--source needs exactly one NAME')
    return args


def main() -> int:
    args = parse_args()
    failed = 0
    for name in args.names:
        try:
            for line in prepare(name, args.folder, args.source, args.accept_checksum):
                sys.stdout.write(f'{name}: {line}\n')
        except (Problem, RuntimeError, *USER_ERRORS) as problem:  # the other files are prepared all the same
            failed += 1
            sys.stderr.write(f'{name}: {problem}\n')
    if not args.names:
        for row in table_rows(args.folder):
            sys.stdout.write('{:<14} {:<11} {}\n'.format(*row))
    return 1 if failed else 0


if __name__ == '__main__':
    run_tool(main)
