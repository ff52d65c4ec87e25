"""Train on your own images without writing a config.

Examples::

    mmseg-dg adapt --source day/images day/masks --target night/images --classes road car tree --out runs/night
    mmseg-dg adapt --source day/images day/masks --target night/images --classes names.txt --out runs/few \\
        --target-labeled night_few/images night_few/masks --val night_val/images night_val/masks
    mmseg-dg adapt --labeled few/images few/masks --unlabeled many/images --classes background crack --out runs/cracks
    mmseg-dg adapt --data images masks --classes background crack --out runs/all

The third is semi-supervised, the fourth ordinary training. The config that ran is DIR/config.py; DIR/run has logs and
checkpoints. In a clone: python tools/adapt.py ...; mim run: `mim run mmseg_dg adapt ...`.
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
from mmseg_dg.apis.own_data_args import add_images, classes_of, images_of, set_of, settings_of  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument('--val', nargs=2, metavar=('IMAGES', 'MASKS'), help='labeled images to score on')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the run')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--early-stopping', type=int, metavar='N', help='validations without a better score')
    parser.add_argument('--suggest', action='store_true', help='settings from the images: see mmseg-dg suggest')
    parser.add_argument('--resume', action='store_true', help='go on with the run in DIR')
    parser.add_argument('--overwrite', action='store_true', help='begin again in DIR')
    parser.add_argument('--config-only', action='store_true', help='write DIR/config.py and stop')
    return parser.parse_args()


def main() -> None:
    """Train (or only write the config), and print the file of the result."""
    args = parse_args()
    # which of mmseg_dg.adapt, semi_adapt, semi and train the given sets of images ask for
    function, images = images_of(args)
    settings, classes = settings_of(args), classes_of(args)
    if args.suggest:
        found = mmseg_dg.suggest(**images, classes=classes, **settings)
        sys.stdout.write(f'{found}\n')
        # what was given on the command line goes before what is suggested
        settings = {**found.settings, **settings, 'reasons': found.reasons, 'options': found.options}
    val = set_of(args.val) if args.val else None
    trained = function(**images, classes=classes, out=args.out, val=val, seed=args.seed, resume=args.resume,
                       overwrite=args.overwrite, early_stopping=args.early_stopping, start=not args.config_only,
                       **settings)
    # None with --config-only: nothing was trained
    sys.stdout.write(f'{args.out}/config.py\n' if trained is None else f'{trained.file}\n')


if __name__ == '__main__':
    run_tool(main)
