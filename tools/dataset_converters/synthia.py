"""SYNTHIA-RAND-CITYSCAPES: published 16-bit labels to trainIds, GT/LABELS/*_labelTrainIds.png.

    python tools/dataset_converters/synthia.py data/synthia

A killed run continues.
"""
import sys

from mmseg_dg.datasets.conversion import SYNTHIA
from mmseg_dg.datasets.conversion.cli import run_recipe

if __name__ == '__main__':
    sys.exit(run_recipe(SYNTHIA, __doc__))
