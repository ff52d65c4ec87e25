"""COCO 2017: published instances to semantic labels of 81 classes, semantic81/{train2017,val2017}/*.png.

    python tools/dataset_converters/coco81.py data/coco

Reads annotations/instances_{train2017,val2017}.json; 0 is background, 1..80 the categories. Where instances overlap
the smaller one is seen; crowds become 255 (--crowd class: their class). A killed run continues.
"""
import os.path as osp

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.coco81 import COCO81Dataset
from mmseg_dg.datasets.conversion import convert
from mmseg_dg.datasets.conversion.cli import expect, make_parser, options_of
from mmseg_dg.datasets.conversion.coco import CROWDS, SIZES, coco_jobs, read_instances


def main() -> int:
    """Convert the parts that are asked for; exit status 1 where labels failed or images are missing."""
    parser = make_parser(__doc__)
    parser.add_argument('--parts', nargs='+', choices=list(SIZES), default=list(SIZES), help='default: both')
    parser.add_argument('--images', help='folder that has train2017 and val2017 (default: the data root)')
    parser.add_argument('--crowd', choices=CROWDS, default='ignore', help='what crowd regions become')
    args = parser.parse_args()
    classes = COCO81Dataset.METAINFO['classes']
    bad = 0  # labels that were not written, and annotated images that are not there
    for part in args.parts:
        path = osp.join(args.data_root, 'annotations', f'instances_{part}.json')
        labels = read_instances(path, args.crowd)
        out = osp.join(args.out_root or args.data_root, 'semantic81', part)
        jobs, absent = coco_jobs(labels, path, osp.join(args.images or args.data_root, part), out)
        report = convert(jobs, labels, len(classes), title=f'COCO {part}', **options_of(args))
        print(expect(f'COCO {part}', len(jobs), SIZES[part]))
        print(report.summary(classes))
        if absent:
            print(f'  {len(absent)} annotated images are not there, for example {absent[:3]}')
        bad += len(report.left_out) + len(absent)
    return 1 if bad else 0


if __name__ == '__main__':
    run_tool(main)
