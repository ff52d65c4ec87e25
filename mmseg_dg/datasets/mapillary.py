"""Mapillary Vistas 1.2 merged to the 19 Cityscapes classes."""
from mmseg_dg.registry import DATASETS

from .base import TrainIdDataset
from .label_tables import MAPILLARY_TO_TRAIN_ID


@DATASETS.register_module()
class MapillaryTrainIdDataset(TrainIdDataset):
    """Mapillary Vistas 1.2 (Neuhold et al., ICCV 2017) with the 19 Cityscapes classes.

    Layout below ``data_root``: ``validation/images/*.jpg`` and
    ``validation/labels/*_labelTrainIds.png``, or with ``raw_ids=True`` the published palette files
    ``validation/labels/*.png`` (66 ids). For training set
    ``data_prefix=dict(img_path='training/images', seg_map_path='training/labels')``. mmseg's
    ``MapillaryDataset_v1`` is the same data with its own 66 classes. Arguments:
    :class:`TrainIdDataset`.
    """
    IMG_SUFFIX = '.jpg'
    RAW_SEG_MAP_SUFFIX = '.png'
    RAW_TO_TRAIN_ID = MAPILLARY_TO_TRAIN_ID
    DATA_PREFIX = dict(img_path='validation/images', seg_map_path='validation/labels')
