"""Write or compare the loss curves of tests/assets/curves.

    python tools/dev/loss_curves.py [NAME ...] [--check]

Without names all of them. ``--check`` writes nothing and prints the largest deviation at the first and at the last
iteration; exit status 1 where a curve moved. A curve that is written anew needs its reason in the commit message.
"""
import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]
importlib.import_module('mmseg_dg')  # prepares the library stack before anything imports mmseg

from curves import CURVES, FIRST, FOLDER, LAST, curve, deviation, from_text, to_text  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402

from mmseg_dg.apis.entry import run_tool  # noqa: E402


def check(name: str, values: list) -> bool:
    """Print how far a curve moved from the recorded one; whether it stayed within ``FIRST``, ``LAST``.

    Args:
        name: Of the curve.
        values: Logged values by name, for each iteration.
    """
    path = FOLDER / f'{name}.txt'
    if not path.is_file():
        print(f'{name}: no recorded curve')
        return False
    recorded = from_text(path.read_text(encoding='utf-8'))
    first, last = deviation(values[0], recorded[0]), deviation(values[-1], recorded[-1])
    stayed = first <= FIRST and last <= LAST and len(values) == len(recorded)
    print(f'{name}: {first:.1e} at iteration 1, {last:.1e} at {len(recorded)}: {"equal" if stayed else "MOVED"}')
    return stayed


def main() -> int:
    """Write the curves, or with ``--check`` compare them; exit status 1 where one moved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=', '.join(CURVES))
    parser.add_argument('--check', action='store_true', help='compare instead of writing')
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(CURVES))
    if unknown:
        parser.error(f'no such curve: {", ".join(unknown)}')
    MMLogger.get_instance('loss_curves', log_level='ERROR')  # what methods say while they are built
    FOLDER.mkdir(parents=True, exist_ok=True)
    moved = []
    for name in args.names or CURVES:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            values = curve(name, Path(folder))
        if args.check:
            moved += [] if check(name, values) else [name]
        else:
            (FOLDER / f'{name}.txt').write_text(to_text(name, values), encoding='utf-8')
            print(f'{name}: loss {values[0]["loss"]:.6g} -> {values[-1]["loss"]:.6g}, '
                  f'{time.process_time() - start:.1f} s CPU')
    if not args.names and not args.check:  # all were written: remove files of curves there are no more
        for path in sorted(FOLDER.glob('*.txt')):
            if path.stem not in CURVES:
                path.unlink()
    return 1 if moved else 0


if __name__ == '__main__':
    run_tool(main)
