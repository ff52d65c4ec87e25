"""GTA5: published palette labels to trainIds, and lists of usable images.

    python tools/dataset_converters/gta.py data/gta

Writes labels/*_labelTrainIds.png, splits/usable.txt and splits/unusable.txt (a few published labels differ in size
from their image) and, where split.mat is there, splits/official/{train,val,test}.txt. A killed run continues.
"""
import os.path as osp

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import GTA
from mmseg_dg.datasets.conversion.cli import expect, run_recipe, write_lists
from mmseg_dg.datasets.conversion.gta import SPLIT_SIZES, read_split, split_lists


def add_options(parser) -> None:
    """GTA's own option, for :func:`run_recipe`."""
    parser.add_argument('--split-file', help='split.mat of the dataset (default: <data_root>/split.mat if there)')


def after(args, part, report, alone) -> None:
    """Write the lists when the labels are converted; called by :func:`run_recipe`.

    Args:
        args: Of the command line.
        part: Of the dataset; GTA has one.
        report: Its ``usable`` and ``left_out`` are the stems of converted and refused labels.
        alone: Stems with an image or a label only.
    """
    root, path = args.out_root or args.data_root, args.split_file or osp.join(args.data_root, 'split.mat')
    lists = {'splits/usable.txt': report.usable, 'splits/unusable.txt': sorted({*report.left_out, *alone})}
    if args.split_file or osp.isfile(path):
        split = read_split(path)
        for name, stems in split.items():
            print(expect(f'{path} {name}', len(stems), SPLIT_SIZES[name]))
        lists.update(split_lists(split, report.usable))
    write_lists(root, lists)


if __name__ == '__main__':
    run_tool(lambda: run_recipe(GTA, __doc__, extend=add_options, after=after))
