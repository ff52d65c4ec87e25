"""COCO as semantic segmentation: background and 80 kinds of things."""
from typing import Any

from mmseg.datasets import BaseSegDataset, COCOStuffDataset

from mmseg_dg.registry import DATASETS


@DATASETS.register_module()
class COCO81Dataset(BaseSegDataset):
    """COCO 2017 with 81 classes: 0 background, 1..80 the things in the order of their category ids.

    The protocol of semi-supervised segmentation on COCO; mmseg has COCO-Stuff only. Layout below
    ``data_root``: ``train2017/*.jpg`` and ``semantic81/train2017/*.png`` (made by
    ``tools/dataset_converters/coco81.py`` from the published instances), likewise ``val2017``.

    Args:
        img_suffix: Ending of images.
        seg_map_suffix: Ending of labels.
        **kwargs: Of :class:`mmseg.datasets.BaseSegDataset` (it refuses unknown ones).
    """
    METAINFO = dict(
        classes=('background', ) + tuple(COCOStuffDataset.METAINFO['classes'][:80]),
        palette=[[0, 0, 0]] + [list(color) for color in COCOStuffDataset.METAINFO['palette'][:80]])

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '.png',
                 **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
