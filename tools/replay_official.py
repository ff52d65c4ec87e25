"""Replay a recorded official training step on our method and print the deviations.

    python tools/replay_official.py RECORD CONFIG [--steps N] [--float64] [--json FILE]

RECORD is ``trainstep_<kind>_<variant>.pt`` with its start weights beside it; CONFIG describes the recorded network
(``tests/replay_configs/`` has those of the records this package is tested with).
"""
import argparse
import json
import os.path as osp

import torch
from mmengine.config import Config

import mmseg_dg  # noqa: F401  first: prepares the library stack
from mmseg_dg.apis.replay import Replay, compare_step, load_record


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('record', help='recorded step(s)')
    parser.add_argument('config', help='config of the recorded network')
    parser.add_argument('--steps', type=int, default=None, help='replay only the first N steps')
    parser.add_argument('--float64', action='store_true', help='replay in double precision')
    parser.add_argument('--json', help='write the deviations to this file')
    return parser.parse_args()


def zero_gradient_params(record_path: str, kind: str) -> list:
    """Names whose true gradient is zero, from ``trainstep_fp64_check.json`` beside the record."""
    path = osp.join(osp.dirname(record_path), 'trainstep_fp64_check.json')
    if not osp.isfile(path):
        return []
    with open(path, encoding='utf-8') as file:
        return json.load(file).get(kind, {}).get('zero_gradient_params', [])


def main() -> None:
    args = parse_args()
    record, student, imnet = load_record(args.record)
    dtype = torch.float64 if args.float64 else torch.float32
    replay = Replay(Config.fromfile(args.config), record, student, imnet, dtype=dtype)
    skip = zero_gradient_params(args.record, record['kind'])
    report = []
    for index, recorded in enumerate(record['steps'][:args.steps]):
        ours = replay.step(index)
        print(f'step {index}')
        for name, value in recorded['log_vars'].items():
            print(f'  {name:32s} official {value:.9g}  ours {ours.log_vars.get(name, float("nan")):.9g}')
        deviations = compare_step(ours, recorded, skip)
        for d in deviations:
            print(f'  {d.quantity:32s} largest relative deviation {d.relative:.3g}  {d.where}')
        report.append(dict(step=index, log_vars=ours.log_vars, deviations=[d._asdict() for d in deviations],
                           grad_norms_after=ours.grad_norms_after))
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=1)


if __name__ == '__main__':
    main()
