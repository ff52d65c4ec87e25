"""Cityscapes: gtFine *_labelIds.png to *_labelTrainIds.png, train and val.

    python tools/dataset_converters/cityscapes.py data/cityscapes

The same files as csCreateTrainIdLabelImgs of cityscapesscripts makes from the polygons. A killed run continues.
"""

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import CITYSCAPES
from mmseg_dg.datasets.conversion.cli import run_recipe

if __name__ == '__main__':
    run_tool(lambda: run_recipe(CITYSCAPES, __doc__))
