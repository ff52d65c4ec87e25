"""One network of a trained method as a plain segmentor, for MMSegmentation's own tools and for other trainings.

Examples::

    python tools/model_converters/export_segmentor.py work_dirs/deft_r50_gta/iter_48000.pth deft.pth
    python tools/model_converters/export_segmentor.py iter_40000.pth teacher.pth --config CONFIG --network teacher

Writes the state dict (backbone.*, decode_head.*) and an inference config of the same name (deft.py), and says whether
stock MMSegmentation loads them or this package is needed. mim run: `mim run mmseg_dg export_segmentor ...`.
"""
import argparse
import sys
from pathlib import Path

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.weights.segmentor_export import export_segmentor


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, metavar='CHECKPOINT', help='checkpoint of a run')
    parser.add_argument('out', type=Path, metavar='OUT', help='file to write, ending in .pth')
    parser.add_argument('--config', type=Path, metavar='CONFIG',
                        help='config of the run (default: the one beside the checkpoint)')
    parser.add_argument('--network', metavar='NAME',
                        help='student, teacher, retentive, adaptive, ... (default: the one the config evaluates)')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        for line in export_segmentor(args.checkpoint, args.out, args.config, args.network).lines:
            sys.stdout.write(f'{line}\n')
    except (ValueError, FileNotFoundError) as problem:
        sys.stderr.write(f'{problem}\n')
        return 1
    return 0


if __name__ == '__main__':
    run_tool(main)
