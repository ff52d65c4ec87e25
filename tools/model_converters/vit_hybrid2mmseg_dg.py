"""Convert public weights of the hybrid encoder R50+ViT-B/16 for ``HybridViT``: the authors' npz file or timm's.

Examples::

    python tools/model_converters/vit_hybrid2mmseg_dg.py R50+ViT-B_16.npz pretrained/r50_vit_b16.pth
    mim run mmseg_dg vit_hybrid2mmseg_dg vit_base_r50_s16_224.pth pretrained/r50_vit_b16.pth

The report names what was converted and dropped; a file with unknown, missing or surplus tensors is refused. Only
arrays are read: nothing in the file is executed.
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.weights.hybrid_vit import Problem, convert_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', type=Path, metavar='SRC', help='R50+ViT-B_16.npz, or a state dict of timm')
    parser.add_argument('dst', type=Path, metavar='DST', help='file to write')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        for line in convert_file(args.src, args.dst):
            sys.stdout.write(f'{line}\n')
    except Problem as problem:
        sys.stderr.write(f'{problem}\n')
        return 1
    return 0


if __name__ == '__main__':
    run_tool(main)
