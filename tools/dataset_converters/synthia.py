"""SYNTHIA-RAND-CITYSCAPES: published 16-bit labels to trainIds, GT/LABELS/*_labelTrainIds.png, and a random split.

    python tools/dataset_converters/synthia.py data/synthia
    python tools/dataset_converters/synthia.py data/synthia --lists-only    # labels stay as published (raw_ids=True)

SYNTHIA has no official split; domain generalization papers draw 6580 images for training and 2820 for validation. Ours
are drawn with --split-seed and written to splits/random/{train,val}.txt. A killed run continues.
"""
import os.path as osp
import sys

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.checks import check_folder, list_files
from mmseg_dg.datasets.conversion import SYNTHIA
from mmseg_dg.datasets.conversion.cli import expect, make_parser, run_recipe, write_lists
from mmseg_dg.datasets.splits.drawing import draw_split

TRAIN, VAL = 6580, 2820  # 0.7 and 0.3 of 9400


def add_options(parser) -> None:
    """SYNTHIA's own options, for :func:`run_recipe` and for --lists-only."""
    parser.add_argument('--lists-only', action='store_true', help='convert nothing, only write the random split')
    parser.add_argument('--split-seed', type=int, default=0, help='of the random split')


def write_split(args) -> int:
    """Write the random split; exit status 1, and nothing written, where images are missing."""
    folder = osp.join(args.data_root, 'RGB')
    check_folder(folder, 'image', 'synthia', 'Give the folder of the dataset as published')
    stems = sorted(name[:-len('.png')] for name in list_files(folder, '.png'))
    if len(stems) != TRAIN + VAL:
        print(expect('SYNTHIA-RAND-CITYSCAPES', len(stems), TRAIN + VAL) + ': no split is written')
        return 1
    split = draw_split(stems, TRAIN, args.split_seed)
    write_lists(args.out_root or args.data_root, {'splits/random/train.txt': split.labeled,
                                                  'splits/random/val.txt': split.unlabeled})
    return 0


def main() -> int:
    """Convert the labels and write the split, or write the split alone; the exit status."""
    if '--lists-only' not in sys.argv[1:]:
        # of what run_recipe hands to ``after`` only the arguments are needed
        return run_recipe(SYNTHIA, __doc__, extend=add_options, after=lambda args, *rest: write_split(args))
    parser = make_parser(__doc__)
    add_options(parser)
    return write_split(parser.parse_args())


if __name__ == '__main__':
    run_tool(main)
