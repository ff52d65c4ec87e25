"""Pascal Context: published 459-class .mat files to 59 classes and background, SegmentationClassContext/*.png.

    python tools/dataset_converters/pascal_context.py data/VOCdevkit/VOC2010 PascalContext/trainval

labels.txt, the published list of the 459 names, is looked for beside the .mat folder (or --labels FILE). The ids are
those of mmseg's PascalContextDataset (60 classes) and PascalContextDataset59. With VOC's own lists of 2010
(ImageSets/Main/{train,val}.txt) ImageSets/SegmentationContext/{train,val}.txt are written. A killed run continues.
"""
import os.path as osp

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import convert
from mmseg_dg.datasets.conversion.cli import expect, make_parser, options_of, write_lists
from mmseg_dg.datasets.conversion.voc import (
    CONTEXT_CLASSES,
    CONTEXT_LISTS,
    CONTEXT_SIZES,
    ContextLabels,
    context_jobs,
    context_table,
)
from mmseg_dg.datasets.image_lists import read_list


def main() -> int:
    """Convert all .mat files and write the lists; exit status 1 where a label could not be written."""
    parser = make_parser(__doc__, 'VOCdevkit/VOC2010')
    parser.add_argument('mats', help='folder with the published .mat files')
    parser.add_argument('--labels', help='labels.txt (default: beside the folder of the .mat files)')
    args = parser.parse_args()
    root = args.out_root or args.data_root
    labels = args.labels or osp.join(osp.dirname(osp.abspath(args.mats)), 'labels.txt')
    jobs = context_jobs(args.data_root, args.mats, root)
    report = convert(jobs, ContextLabels(context_table(labels)), len(CONTEXT_CLASSES), title='Pascal Context',
                     **options_of(args))
    print(report.summary(CONTEXT_CLASSES))
    usable = set(report.usable)
    for name, published in CONTEXT_SIZES.items():
        path = osp.join(args.data_root, 'ImageSets', 'Main', f'{name}.txt')
        if osp.isfile(path):
            stems = [stem for stem in read_list(path, 'Pascal VOC 2010') if stem in usable]
            print(expect(name, len(stems), published))
            write_lists(root, {osp.join(CONTEXT_LISTS, f'{name}.txt'): stems})
        else:
            print(f'no {path}: no list written for {name}')
    return 1 if report.left_out else 0


if __name__ == '__main__':
    run_tool(main)
