"""UrbanSyn: about 7500 rendered street scenes with the Cityscapes classes."""
from typing import Any

from mmseg_dg.registry import DATASETS

from .base import TrainIdDataset
from .label_tables import URBANSYN_TO_TRAIN_ID


@DATASETS.register_module()
class UrbanSynDataset(TrainIdDataset):
    """UrbanSyn (Gomez et al., "All for One, and One for All", 2023).

    Layout below ``data_root`` as published: ``rgb/rgb_0001.png`` and ``ss/ss_0001.png``; files of
    one name in both folders (``0001.png``) are read too. The published ids are trainIds already, 19
    being everything else (docs/data.md, "Layout").

    Args:
        raw_ids: The published ids (19 becomes 255); False reads converted ``*_labelTrainIds.png``.
        **kwargs: See :class:`TrainIdDataset`.
    """
    RAW_SEG_MAP_SUFFIX = '.png'
    RAW_TO_TRAIN_ID = URBANSYN_TO_TRAIN_ID
    DATA_PREFIX = dict(img_path='rgb', seg_map_path='ss')

    def __init__(self, raw_ids: bool = True, **kwargs: Any) -> None:
        super().__init__(raw_ids=raw_ids, **kwargs)

    def label_stem(self, stem: str) -> str:
        """``ss_0001`` for ``rgb_0001``; stems without the prefix are those of both files."""
        folder, slash, name = stem.rpartition('/')
        return f'{folder}{slash}ss_{name[4:]}' if name.startswith('rgb_') else stem
