"""GTA5: 24 966 rendered street scenes with the Cityscapes classes."""
from mmseg_dg.registry import DATASETS

from .base import TrainIdDataset
from .label_tables import GTA_TO_TRAIN_ID


@DATASETS.register_module()
class GTADataset(TrainIdDataset):
    """GTA5 (Richter et al., "Playing for Data", ECCV 2016).

    Layout below ``data_root``: ``images/00001.png`` and ``labels/00001_labelTrainIds.png``, or with
    ``raw_ids=True`` the published palette files ``labels/00001.png``.

    A few published labels differ in size from their image; they must be left out with a list (``ann_file``).
    Arguments: :class:`TrainIdDataset`.
    """
    RAW_SEG_MAP_SUFFIX = '.png'
    RAW_TO_TRAIN_ID = GTA_TO_TRAIN_ID
    DATA_PREFIX = dict(img_path='images', seg_map_path='labels')
