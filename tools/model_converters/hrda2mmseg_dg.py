"""Convert official checkpoints: DAFormer, HRDA and MIC trainings, and ImageNet files of Mix Transformers.

Examples::

    python tools/model_converters/hrda2mmseg_dg.py iter_40000.pth hrda_gta.pth    # or: mim run mmseg_dg hrda2mmseg_dg
    python tools/model_converters/hrda2mmseg_dg.py iter_40000.pth hrda_gta.pth --config configs/hrda/hrda_mitb5_....py
    python tools/model_converters/hrda2mmseg_dg.py iter_40000.pth teacher.pth --model teacher
    python tools/model_converters/hrda2mmseg_dg.py mit_b5.pth pretrained/mit_b5.pth

The result is the state dict of one network: for ``load_from``, for ``tools/test.py`` and for other training methods.
Only tensors are read: a file that asks for more is refused, nothing in it is executed.
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.weights.official_checkpoints import Problem, convert_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, metavar='SRC', help='official checkpoint')
    parser.add_argument('dst', type=Path, metavar='DST', help='file to write')
    parser.add_argument('--model', choices=('student', 'teacher'), default='student',
                        help="network of a training checkpoint (default: student, which gives the papers' scores)")
    parser.add_argument('--config', type=Path, metavar='CONFIG',
                        help='compare with the network of this config (default: with the sizes found in the file)')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        for line in convert_file(args.src, args.dst, args.model, args.config):
            sys.stdout.write(f'{line}\n')
    except Problem as problem:
        sys.stderr.write(f'{problem}\n')
        return 1
    return 0


if __name__ == '__main__':
    run_tool(main)
