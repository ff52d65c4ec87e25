"""Settings that fit your images and this machine, each with its reason: nothing is trained.

Examples::

    mmseg-dg suggest --source day/images day/masks --target night/images --classes road car tree
    mmseg-dg suggest --data images masks --classes background crack --crop-size 256
    mmseg-dg adapt --suggest --source ...      # the same, and trains with them

Sizes come from the images' headers, classes from a sample of the masks, memory from two small training steps that are
extended to the size that is meant. In a clone: python tools/suggest.py ...; mim run: `mim run mmseg_dg suggest ...`.
"""
import argparse
import os
import re
import sys

# mmengine looks for a GPU once, when it is imported: hide the GPUs before that if the CPU is asked for
if re.search(r'--device[ =]cpu( |$)', ' '.join(sys.argv)):
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'

import mmseg_dg  # noqa: E402  prepares the library stack
from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.apis.own_data_args import add_images, classes_of, images_of, settings_of  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument('--no-probe', action='store_true', help='do not run the two small steps')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    _, images = images_of(args)  # the first is the function that would train with them
    found = mmseg_dg.suggest(**images, classes=classes_of(args), probe=not args.no_probe, **settings_of(args))
    sys.stdout.write(f'{found}\n')


if __name__ == '__main__':
    run_tool(main)
