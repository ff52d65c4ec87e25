"""Pascal VOC 2012 with the labels of SBD: SegmentationClassAug/*.png and lists.

    python tools/dataset_converters/voc_aug.py data/VOCdevkit/VOC2012 benchmark_RELEASE/dataset

Images that VOC labels keep VOC's label, the others take SBD's (.mat). Writes ImageSets/Segmentation/train_aug.txt
(10582 images) and aug.txt (the 9118 of them that only SBD labels); VOC's val is in neither. A killed run continues.
"""
import os.path as osp

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import convert
from mmseg_dg.datasets.conversion.cli import expect, make_parser, options_of, write_lists
from mmseg_dg.datasets.conversion.voc import VOC_CLASSES, VOC_LISTS, VOC_SIZES, VOCLabels, voc_aug_jobs


def main() -> int:
    """Write all labels and the two lists; exit status 1 where a label could not be written."""
    parser = make_parser(__doc__, 'VOCdevkit/VOC2012')
    parser.add_argument('sbd', help='benchmark_RELEASE/dataset of SBD, with cls/*.mat')
    args = parser.parse_args()
    root = args.out_root or args.data_root
    jobs, lists = voc_aug_jobs(args.data_root, args.sbd, root)
    report = convert(jobs, VOCLabels(), len(VOC_CLASSES), title='VOC 2012 + SBD', **options_of(args))
    print(report.summary(VOC_CLASSES))
    for name, stems in lists.items():
        print(expect(name, len(stems), VOC_SIZES[name]))
    bad = set(report.left_out)  # stems without a label; the counts above are of the published lists
    write_lists(root, {osp.join(VOC_LISTS, f'{name}.txt'): [stem for stem in lists[name] if stem not in bad]
                       for name in ('train_aug', 'aug')})
    return 1 if bad else 0


if __name__ == '__main__':
    run_tool(main)
