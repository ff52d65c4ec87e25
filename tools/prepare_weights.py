"""Which pretrained encoders are there, where to fetch the others, and their conversion.

Examples::

    python tools/prepare_weights.py                                   # or: mim run mmseg_dg prepare_weights
    python tools/prepare_weights.py mit_b5                            # converts a file found in pretrained/
    python tools/prepare_weights.py mit_b5 --source ~/mit_b5.pth      # converts that file
    python tools/prepare_weights.py dinov2_small --download           # fetches that file first

Nothing is downloaded unless --download says so, and then only a file whose whole SHA-256 is known.
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import USER_ERRORS, run_tool
from mmseg_dg.weights.download import download
from mmseg_dg.weights.files import Problem
from mmseg_dg.weights.preparation import prepare, table_rows


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='encoders to check and convert; none: list all')
    parser.add_argument('--source', type=Path, metavar='FILE', help='the fetched file (with one NAME)')
    parser.add_argument('--folder', type=Path, default=Path('pretrained'), help='where prepared files lie')
    parser.add_argument('--accept-checksum', action='store_true', help='use a file whose SHA-256 is not a known one')
    parser.add_argument('--download', action='store_true',
                        help='fetch each NAME first: over https, its SHA-256 checked, known files only')
    args = parser.parse_args()
    if args.download and (args.source is not None or not args.names):
        parser.error('--download needs a NAME, and no --source')
    if args.source is not None and len(args.names) != 1:
        parser.error('--source needs exactly one NAME')
    return args


def main() -> int:
    """Prepare the files that are named, or list all known ones; exit status 1 where one failed."""
    args = parse_args()
    failed = 0
    for name in args.names:
        try:
            if args.download:
                sys.stderr.write(f'{name}: fetching\n')
            source = download(name, args.folder) if args.download else args.source
            for line in prepare(name, args.folder, source, args.accept_checksum):
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
