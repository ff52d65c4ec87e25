"""Copies of GTA or SYNTHIA at the size training resizes them to: samples are loaded in about half the time.

    python tools/dataset_converters/resized_copies.py gta data/gta            # resized_1280x720/, images of 1280x704
    python tools/dataset_converters/resized_copies.py synthia data/synthia    # resized_1280x760/, its own size

Training reads them with one line, and gets the same pixels and draws the same images as without:

    train_dataloader = dict(source=dict(dataset=dict(resized=True)))

Images are resized as the pipelines do (bilinear), labels by nearest and written as trainIds; PNG loses nothing.
--scale is that of the pipeline's Resize, (width, height), and names the folder. A killed run continues.
"""
import argparse
import os.path as osp

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import GTA, SYNTHIA
from mmseg_dg.datasets.conversion.cli import expect, write_lists
from mmseg_dg.datasets.conversion.resized import resize_dataset
from mmseg_dg.datasets.gta import UNUSABLE

#: Name -> recipe, and (width, height) that its pipelines resize to.
DATASETS = dict(gta=(GTA, (1280, 720)), synthia=(SYNTHIA, (1280, 760)))


def main() -> int:
    """Make the copies; exit status 1 where one failed, or an image or a label stands alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', choices=sorted(DATASETS))
    parser.add_argument('data_root', help='folder of the dataset as published')
    parser.add_argument('--scale', type=int, nargs=2, metavar=('WIDTH', 'HEIGHT'), help="of the pipeline's Resize")
    parser.add_argument('--out-root', help='write below this folder (default: the dataset)')
    parser.add_argument('--num-workers', type=int, help='processes (default: all cores)')
    parser.add_argument('--overwrite', action='store_true', help='make copies again that are there')
    args = parser.parse_args()
    recipe, scale = DATASETS[args.dataset]
    scale, part = tuple(args.scale or scale), recipe.parts[0]
    if min(scale) < 1:
        parser.error(f'--scale {scale[0]} {scale[1]}: sides are at least 1')
    report, alone = resize_dataset(recipe, part, args.data_root, scale, args.out_root, args.num_workers,
                                   args.overwrite)
    print(expect(recipe.title, len(report.usable) + len(report.left_out), part.count))
    print(report.summary(recipe.classes))
    if alone:
        print(f'  {len(alone)} images without label or labels without image, for example {alone[:3]}')
    root = args.out_root or args.data_root
    # GTA's datasets leave out the images of this list, which gta.py writes as well
    if recipe is GTA and not osp.isfile(osp.join(root, UNUSABLE)):
        write_lists(root, {UNUSABLE: sorted({*report.left_out, *alone})})
    return 1 if report.failed or alone else 0


if __name__ == '__main__':
    run_tool(main)
