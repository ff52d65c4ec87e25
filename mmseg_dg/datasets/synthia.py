"""SYNTHIA-RAND-CITYSCAPES: 9 400 rendered street scenes."""
import os.path as osp

from mmseg_dg.registry import DATASETS

from .base import TrainIdDataset
from .checks import is_local
from .label_tables import SYNTHIA_TO_TRAIN_ID
from .transforms.loading import LoadSynthiaAnnotations


@DATASETS.register_module()
class SynthiaDataset(TrainIdDataset):
    """SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016) with the 19 Cityscapes classes.

    Terrain, truck and train have no pixels; results are reported over 16 or 13 classes, by the
    metric.

    Layout below ``data_root``: ``RGB/0000000.png`` and ``GT/LABELS/0000000_labelTrainIds.png``, or
    with ``raw_ids=True`` the published 16-bit files ``GT/LABELS/0000000.png``, which need
    ``LoadSynthiaAnnotations`` in the pipeline. Arguments: :class:`TrainIdDataset`.
    """
    RAW_SEG_MAP_SUFFIX = '.png'
    RAW_TO_TRAIN_ID = SYNTHIA_TO_TRAIN_ID
    RAW_LOADER = LoadSynthiaAnnotations
    DATA_PREFIX = dict(img_path='RGB', seg_map_path='GT/LABELS')

    def _stems_in(self, folder: str) -> list[str]:
        """Names of the images without suffix, of the list (``ann_file``) or the folder; where the
        list is missing, the message says how it is written.
        """
        if self.ann_file and is_local(self.ann_file,
                                      self.backend_args) and not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'SynthiaDataset: no list file {self.ann_file!r}. The random split '
                '(splits/random/{train,val}.txt) is written by:\n    '
                f'python tools/dataset_converters/synthia.py {self.data_root} --lists-only')
        return super()._stems_in(folder)
