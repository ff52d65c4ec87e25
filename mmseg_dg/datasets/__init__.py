"""What lies on disk, which sample comes next, and what happens to it."""
from .acdc import ACDCDataset
from .base import TrainIdDataset
from .coco81 import COCO81Dataset
from .corruptions import Corrupt, corrupt, corrupted, corrupted_evaluators
from .folder import FolderDataset
from .gta import GTADataset
from .mapillary import MapillaryTrainIdDataset
from .samplers import ClassUniformSampler, RareClassSampler, SampleRequest, StatefulInfiniteSampler
from .seeded import SeededDataset
from .statistics.class_statistics import ClassStatistics, class_statistics, from_official_json
from .synthcity_dataset import SynthCityDataset
from .synthia import SynthiaDataset
from .transforms import (
    LoadAnnotations,
    LoadSynthiaAnnotations,
    PackStreamInputs,
    PseudoLabelMargins,
    RareClassCrop,
)
from .unlabeled import UnlabeledImageDataset
from .urbansyn import UrbanSynDataset

__all__ = [
    'ACDCDataset', 'COCO81Dataset', 'ClassStatistics', 'ClassUniformSampler', 'Corrupt',
    'FolderDataset', 'GTADataset', 'LoadAnnotations', 'LoadSynthiaAnnotations',
    'MapillaryTrainIdDataset', 'PackStreamInputs', 'PseudoLabelMargins', 'RareClassCrop',
    'RareClassSampler', 'SampleRequest', 'SeededDataset', 'StatefulInfiniteSampler',
    'SynthCityDataset', 'SynthiaDataset', 'TrainIdDataset', 'UnlabeledImageDataset',
    'UrbanSynDataset', 'class_statistics', 'corrupt', 'corrupted', 'corrupted_evaluators',
    'from_official_json'
]
