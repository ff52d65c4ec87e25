"""BatchNorm statistics of a checkpoint estimated anew on images of a domain: a control that trains nothing.

Example::

    python tools/analysis_tools/reestimate_statistics.py configs/demo/daformer_synthcity_demo.py \
        mmseg_dg://city_day_mobilenetv2 work_dirs/reestimated.pth --stream target --images 200

Writes a plain segmentor, which tools/test.py evaluates with the same config. mim run:
`mim run mmseg_dg reestimate_statistics ...`.
"""
import argparse
import sys

import mmseg_dg  # noqa: F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool
from mmseg_dg.apis.reestimate import reestimate_statistics


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG', help='its training streams name the images')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint of a run, or weights of the package')
    parser.add_argument('out', metavar='OUT', help='file to write')
    parser.add_argument('--stream', default='target', help='training stream whose images are used (default: target)')
    parser.add_argument('--images', type=int, default=200, help='how many at most (default: 200)')
    parser.add_argument('--batch-size', type=int, default=8, help='images at once (default: 8)')
    parser.add_argument('--seed', type=int, default=0, help='of the choice of images (default: 0)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    reestimate_statistics(args.config, args.checkpoint, args.out, args.stream, args.images, args.batch_size,
                          args.seed)
    sys.stdout.write(f'{args.out}\n')


if __name__ == '__main__':
    run_tool(main)
