"""List the images and regions of a folder that are worth labeling first.

Example::

    python tools/label_first.py CONFIG CHECKPOINT photos --out to_label --images 20 --regions 50

Reads no labels. Writes images.csv, regions.csv, label_first.json, and labeled.txt / unlabeled.txt for the ann_file of
two streams (docs/choosing_without_labels.md). mim run: `mim run mmseg_dg label_first ...`.
"""
import argparse
import os
import re
import sys

# mmengine looks for a GPU once, when it is imported: hide the GPUs before that if the CPU is asked for
if re.search(r'--device[ =]cpu( |$)', ' '.join(sys.argv)):
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'

import mmseg_dg  # noqa: E402,F401  prepares the library stack
from mmseg_dg.apis.entry import run_tool  # noqa: E402
from mmseg_dg.apis.inference import load_model  # noqa: E402
from mmseg_dg.apis.label_first import rank_images, write_lists  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG', help='config file of the model')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint, or weights of the package')
    parser.add_argument('input', metavar='INPUT', help='image, folder, quoted pattern, or text file of paths')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the lists')
    parser.add_argument('--images', type=int, default=10, metavar='N', help='images to label (default: 10)')
    parser.add_argument('--regions', type=int, default=50, metavar='N', help='regions to label (default: 50)')
    parser.add_argument('--region-size', type=int, default=128, metavar='PIXELS', help='side (default: 128)')
    parser.add_argument('--per-image', type=int, default=4, metavar='N', help='most regions of one image (default: 4)')
    parser.add_argument('--batch-size', type=int, default=1, metavar='N', help='images at once (default: 1)')
    parser.add_argument('--device', metavar='NAME', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    model = load_model(args.config, args.checkpoint, args.device)
    ranked = rank_images(model, args.input, args.region_size, args.batch_size)
    names = (model.dataset_meta or {}).get('classes') or [str(i) for i in range(model.out_channels)]
    origin = dict(config=os.path.basename(args.config), checkpoint=os.path.basename(args.checkpoint))
    for path in write_lists(ranked, args.out, names, min(args.images, len(ranked)), args.regions, args.per_image,
                            origin):
        sys.stdout.write(f'{path}\n')


if __name__ == '__main__':
    run_tool(main)
