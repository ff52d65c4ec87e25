"""Replay a recorded official training step on our method, compare everything the record holds, and give a verdict.

    python tools/replay_official.py RECORD CONFIG [--steps N] [--float64] [--skip PATTERN ...]
                                    [--tolerance KIND=VALUE ...] [--json FILE]

RECORD is ``<kind>_tiny_step.pt`` or ``trainstep_<kind>_<variant>.pt`` with its start weights beside it; CONFIG
describes the recorded network (``tests/replay_configs/`` and ``tests/assets/small/`` have those of the records this
package is tested with). Parameters whose true gradient is zero, listed in ``*_fp64_check.json`` beside the record, are
left out everywhere. Exit status: 0 equal within the tolerances, 1 not equal, 2 wrong arguments or files.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

import mmseg_dg  # noqa: F401  first: prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.replay import Replay
from mmseg_dg.apis.replay_comparison import (
    TOLERANCES,
    Deviation,
    compare_float64,
    compare_step,
    judge,
    not_compared,
)
from mmseg_dg.apis.replay_record import load_record
from mmseg_dg.utils.config_files import read_config_file


def parse_args() -> argparse.Namespace:
    kinds = ', '.join(f'"{k}" ({first:g}, later {later:g})' for k, (first, later) in TOLERANCES.items())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('record', type=Path, help='recorded step(s)')
    parser.add_argument('config', help='config of the recorded network')
    parser.add_argument('--steps', type=int, default=None, help='replay only the first N steps')
    parser.add_argument('--float64', action='store_true', help='replay in double precision, and compare with the '
                        'official step in double precision, where *_fp64_check.json beside the record has it')
    parser.add_argument('--skip', nargs='+', default=[], metavar='PATTERN', help='names of parameters or quantities '
                        'to leave out, * matches anything ("*.attn.kv.bias", "mixed_img")')
    parser.add_argument('--tolerance', nargs='+', default=[], metavar='KIND=VALUE', type=tolerance,
                        help=f'largest relative deviation of a kind of quantity, or of one quantity: {kinds}')
    parser.add_argument('--json', type=Path, help='write deviations and verdict to this file')
    args = parser.parse_args()
    if args.steps is not None and args.steps < 1:
        parser.error(f'--steps {args.steps}: at least one step must be replayed')
    return args


def tolerance(text: str) -> tuple[str, float]:
    """``KIND=VALUE`` of the command line as (kind or quantity, number of at least 0).

    Raises:
        argparse.ArgumentTypeError: The text is not of this form; argparse shows the message.
    """
    name, _, value = text.rpartition('=')
    try:
        result = float(value)
    except ValueError:
        result = -1.
    if not name or not result >= 0:  # "not >=" refuses NaN as well
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form KIND=VALUE with a number of at least 0')
    return name, result


def float64_check(record: Path, kind: str) -> dict[str, Any]:
    """What ``*_fp64_check.json`` beside a record says of a kind of network; empty where it is not there.

    The file holds, for each kind, results of the official step in double precision and
    ``zero_gradient_params``, names of parameters whose true gradient is zero. That of the record's
    own family (tiny or full-size steps) is looked for first.
    """
    names = ('tiny_fp64_check.json', 'trainstep_fp64_check.json')
    for path in (record.with_name(n) for n in (names if '_tiny_' in record.name else names[::-1])):
        if path.is_file():
            return json.loads(path.read_text(encoding='utf-8')).get(kind, {})
    return {}


def show(index: int, official: dict, ours: dict, deviations: list[Deviation], missing: list[str]) -> None:
    """Print the logged values of one step side by side, then every deviation with its verdict.

    Args:
        index: 0-based number of the step.
        official: Logged values of the record.
        ours: Logged values of the replayed step.
        deviations: As :func:`judge` returns them, with tolerances.
        missing: Quantities of the record that were not compared.
    """
    print(f'step {index}')
    for name, value in official.items():
        print(f'  {name:32s} official {value:.9g}  ours {ours.get(name, float("nan")):.9g}')
    for d in deviations:
        verdict = 'ok' if d.equal else 'DIFFERS'
        print(f'  {d.quantity:46s} {d.relative:9.3g}  allowed {d.tolerance:7.2g}  {verdict:8s}{d.where}')
    if missing:
        print(f'  not compared: {", ".join(missing)}')


def replay_steps(args: argparse.Namespace) -> list[dict]:
    """Replay the recorded steps one after the other, compare each and print it.

    Returns:
        One entry per step: ``step`` (0-based), ``log_vars``, ``not_compared``,
        ``grad_norms_after`` and ``deviations``, each a dict with ``quantity`` and ``equal``.
    """
    # the record, and the weights that student and ImageNet encoder start from
    record, student, imnet = load_record(str(args.record))
    check = float64_check(args.record, record['kind'])
    skip = [*check.get('zero_gradient_params', []), *args.skip]
    replay = Replay(read_config_file(args.config), record, student, imnet,
                    dtype=torch.float64 if args.float64 else torch.float32)
    report = []
    for index, recorded in enumerate(record['steps'][:args.steps]):
        ours = replay.step(index)
        deviations = compare_step(ours, recorded, skip)
        if args.float64:
            deviations += compare_float64(ours, check, index, skip)
        # --skip names parameters (above) and quantities (here)
        deviations = judge(deviations, index, dict(args.tolerance), args.skip)
        missing = not_compared(ours, recorded)
        logged = dict(ours.log_vars, **ours.official_accuracies)
        show(index, recorded['log_vars'], logged, deviations, missing)
        report.append(dict(step=index, log_vars=logged, not_compared=missing, grad_norms_after=ours.grad_norms_after,
                           deviations=[dict(d._asdict(), equal=d.equal) for d in deviations]))
    return report


def main() -> int:
    """Replay, print the verdict; exit status 0 equal, 1 not equal, 2 wrong arguments or files."""
    args = parse_args()
    try:
        report = replay_steps(args)
    except (FileNotFoundError, ValueError) as error:
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        return 2
    compared = [d for step in report for d in step['deviations']]
    wrong = [f'step {step["step"]} {d["quantity"]}' for step in report for d in step['deviations'] if not d['equal']]
    verdict = 'differs' if wrong else 'equal'
    if args.json:
        args.json.write_text(json.dumps(dict(verdict=verdict, steps=report), indent=1), encoding='utf-8')
    if wrong:
        print(f'verdict: DIFFERS in {len(wrong)} of {len(compared)} quantities: {"; ".join(wrong)}')
    else:
        print(f'verdict: EQUAL within the tolerances, {len(compared)} quantities in {len(report)} step(s)')
    return 1 if wrong else 0


if __name__ == '__main__':
    run_tool(main)
