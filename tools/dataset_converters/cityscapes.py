"""Cityscapes: gtFine *_labelIds.png to *_labelTrainIds.png, train and val.

    python tools/dataset_converters/cityscapes.py data/cityscapes

The same files as csCreateTrainIdLabelImgs of cityscapesscripts makes from the polygons. A killed run continues.
"""
import sys

from mmseg_dg.datasets.conversion import CITYSCAPES
from mmseg_dg.datasets.conversion.cli import run_recipe

if __name__ == '__main__':
    sys.exit(run_recipe(CITYSCAPES, __doc__))
