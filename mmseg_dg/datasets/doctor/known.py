"""How many images the public datasets have, to tell a broken download from a complete one.

Sources: the datasets' own pages; for Cityscapes, GTA, SYNTHIA, BDD100K, Mapillary, VOC and COCO
also the five papers' tables. Two figures quoted for DeFT elsewhere are slips: "2 985" training
images of Cityscapes (2 975) and "6 382" validation images of SYNTHIA (that is the size of GTA's
validation split; SYNTHIA has 9 400 images without any split).
"""
import os.path as osp
from typing import Any, NamedTuple, Optional


class Known(NamedTuple):
    """A split of a known dataset.

    Attributes:
        types: Dataset classes that read it.
        folder: Folders that must occur in the path of its images.
        ann_file: End of the path of its list, or ``split=...`` for a dataset that picks its part by
            name; empty for one without a list.
        count: Number of its images.
    """
    types: tuple[str, ...]
    folder: tuple[str, ...]
    ann_file: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls


_VOC = ('PascalVOCDataset', )
KNOWN: tuple[Known, ...] = (
    Known(('CityscapesDataset', ), ('leftImg8bit', 'train'), '', 2975),
    Known(('CityscapesDataset', ), ('leftImg8bit', 'val'), '', 500),
    Known(('CityscapesDataset', ), ('leftImg8bit', 'test'), '', 1525),
    Known(('GTADataset', ), (), '', 24966),
    Known(('GTADataset', ), (), 'split=train', 12403),
    Known(('GTADataset', ), (), 'split=val', 6382),
    Known(('GTADataset', ), (), 'split=test', 6181),
    Known(('SynthiaDataset', ), (), '', 9400),
    Known(('BDD100KDataset', ), ('val', ), '', 1000),
    Known(('BDD100KDataset', ), ('train', ), '', 7000),
    Known(('MapillaryTrainIdDataset', 'MapillaryDataset_v1'), ('validation', ), '', 2000),
    Known(('MapillaryTrainIdDataset', 'MapillaryDataset_v1'), ('training', ), '', 18000),
    Known(('ACDCDataset', ), ('train', ), '', 1600),
    Known(('ACDCDataset', ), ('val', ), '', 406),
    Known(('DarkZurichDataset', ), ('train', 'night'), '', 2416),
    Known(('DarkZurichDataset', ), ('val', ), '', 50),
    Known(('NightDrivingDataset', ), ('test', ), '', 50),
    Known(_VOC, (), 'ImageSets/Segmentation/train.txt', 1464),
    Known(_VOC, (), 'ImageSets/Segmentation/aug.txt', 9118),
    Known(_VOC, (), 'ImageSets/Segmentation/train_aug.txt', 10582),
    Known(_VOC, (), 'ImageSets/Segmentation/trainaug.txt', 10582),
    Known(_VOC, (), 'ImageSets/Segmentation/val.txt', 1449),
    Known(('COCO81Dataset', ), ('train2017', ), '', 118287),
    Known(('COCO81Dataset', ), ('val2017', ), '', 5000),
    Known(('ADE20KDataset', ), ('training', ), '', 20210),
    Known(('ADE20KDataset', ), ('validation', ), '', 2000),
    Known(('PascalContextDataset', 'PascalContextDataset59'), (),
          'ImageSets/SegmentationContext/train.txt', 4998),
    Known(('PascalContextDataset', 'PascalContextDataset59'), (),
          'ImageSets/SegmentationContext/val.txt', 5105),
)


def expected_count(config: dict, folder: str = '') -> Optional[int]:
    """Images a whole split has, or None for anything that is not a known split.

    Args:
        config: Dataset config; own lists and ``indices`` mean a part on purpose and are not
            compared.
        folder: Its image folder, when the dataset class chooses it.
    """
    if config.get('indices') is not None or any(
            config.get(key) for key in ('conditions', 'filter_cfg', 'exclude')):
        return None
    kind = str(config.get('type', '')).split('.')[-1]
    prefix: Any = config.get('data_prefix') or {}
    parts = osp.normpath(prefix.get('img_path') or folder or '.').split(osp.sep)
    ann_file = f'split={config["split"]}' if config.get('split') else config.get('ann_file') or ''
    for split in KNOWN:
        if kind in split.types and all(word in parts for word in split.folder):
            # the list of the config may have folders before the end that is known
            if ann_file == split.ann_file or split.ann_file and ann_file.endswith('/'
                                                                                  + split.ann_file):
                return split.count
    return None
