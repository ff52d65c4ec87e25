"""ACDC: *_gt_labelIds.png to *_gt_labelTrainIds.png where they are missing (both are published).

    python tools/dataset_converters/acdc.py data/acdc [--verify]

Reads the published folders gt/CONDITION/SPLIT/SEQUENCE; they need not be flattened. --verify compares the published
trainIds with the ids.
"""

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import ACDC
from mmseg_dg.datasets.conversion.cli import run_recipe

if __name__ == '__main__':
    run_tool(lambda: run_recipe(ACDC, __doc__))
