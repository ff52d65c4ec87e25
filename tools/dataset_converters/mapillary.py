"""Mapillary Vistas 1.2: 66 published ids to the 19 trainIds, labels/*_labelTrainIds.png.

    python tools/dataset_converters/mapillary.py data/mapillary [--parts validation training]

A killed run continues.
"""

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.datasets.conversion import MAPILLARY
from mmseg_dg.datasets.conversion.cli import run_recipe

if __name__ == '__main__':
    run_tool(lambda: run_recipe(MAPILLARY, __doc__))
