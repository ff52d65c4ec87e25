"""Attack the package from outside and count what does not hold: ``make attack``, or this file with ``--quick``.

Runs are killed, signaled, filled up, moved and damaged, and files are made hostile. Every row of the report says how
many trials there were and how many failed. The quick mode is meant for a quarter of an hour on two free cores, full
for hours. ``--rows`` chooses rows, ``--scale 0.1`` makes a tenth of the trials (at least one each).

A failure is: another result than the uninterrupted run's (one bit of one tensor), a lost or damaged checkpoint, a
process that crashes, code that ran, or bad input that is not refused by an error that names it.
"""
import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import _attack_files as attack_files  # noqa: E402
import _attack_runs as attack_runs  # noqa: E402
from _attack_rig import Rig  # noqa: E402

#: Row: (function, trials in quick mode, trials in full mode). A function gets the rig, the number of trials and a
#: random generator; it yields for each trial what was wrong, '' where nothing was.
ROWS = {
    'kills': (attack_runs.kills, 28, 140),
    'kills while saving': (attack_runs.kills_while_saving, 12, 60),
    'kills of two processes': (attack_runs.kills_of_two_processes, 2, 40),
    'signals': (attack_runs.signals, 6, 30),
    'damaged checkpoints in the work dir': (attack_runs.damaged_newest, 5, 27),
    'damaged checkpoint given to --resume': (attack_runs.damaged_file, 5, 27),
    'checkpoints that lack a part': (attack_runs.missing_parts, 5, 5),
    'moved and copied folders': (attack_runs.moved_folders, 4, 8),
    'two runs in one folder': (attack_runs.two_runs, 2, 6),
    'full disks': (attack_runs.full_disks, 3, 12),
    'resumes of other methods': (attack_runs.other_methods, 5, 15),
    'loss that is not finite': (attack_runs.not_finite, 1, 8),
    'hostile files': (attack_files.hostile_files, 60, 600),
    'hostile addresses': (attack_files.hostile_addresses, 5, 5),
    'fuzzed checkpoints': (attack_files.fuzzed_checkpoints, 500, 11000),
    'damaged .mat files': (attack_files.damaged_mat, 60, 400),
    'damaged caches': (attack_files.damaged_caches, 40, 400),
    'huge images': (attack_files.huge_images, 2, 2),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument('--quick', action='store_true', help='the default')
    mode.add_argument('--full', action='store_true')
    parser.add_argument('--rows', nargs='+', choices=list(ROWS), metavar='ROW', default=list(ROWS),
                        help=f'of: {", ".join(ROWS)}')
    parser.add_argument('--scale', type=float, default=1., help='fraction of the trials')
    parser.add_argument('--seed', type=int, default=0, help='of kill times and damage')
    parser.add_argument('--out', type=Path, help='write the report here (.json) as well')
    return parser.parse_args()


def main() -> int:
    """Run the rows, print and write the report; exit status 1 where a trial failed."""
    args = parse_args()
    begin, results = time.time(), {}
    with tempfile.TemporaryDirectory(prefix='attack_') as folder:
        rig = Rig(Path(folder))
        for name in args.rows:
            function, quick, full = ROWS[name]
            trials = max(1, round((full if args.full else quick) * args.scale))
            since = time.time()
            failures, done = [], 0
            try:
                for outcome in function(rig, trials, random.Random(f'{args.seed} {name}')):
                    done += 1
                    if outcome:
                        failures.append(outcome)
                        sys.stdout.write(f'  {name}: FAILED: {outcome}\n')
            except Exception as error:  # noqa: BLE001  a row that cannot be run is a failure of its own
                failures.append(f'the row ended early: {type(error).__name__}: {error}')
                sys.stdout.write(f'  {name}: {failures[-1]}\n')
            results[name] = dict(trials=done, failures=failures, seconds=round(time.time() - since, 1))
            sys.stdout.write(f'{name}: {done} trials, {len(failures)} failures ({results[name]["seconds"]} s)\n')
            sys.stdout.flush()
    failed = sum(len(row['failures']) for row in results.values())
    report = dict(mode='full' if args.full else 'quick', scale=args.scale, seed=args.seed, machine=platform.platform(),
                  cores=os.cpu_count(), seconds=round(time.time() - begin), rows=results)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1), encoding='utf-8')
    sys.stdout.write('\n| row | trials | failures |\n|---|---|---|\n')
    for name, row in results.items():
        sys.stdout.write(f'| {name} | {row["trials"]} | {len(row["failures"])} |\n')
    sys.stdout.write(f'{failed} failures in {sum(row["trials"] for row in results.values())} trials, '
                     f'{report["seconds"]} s\n')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
