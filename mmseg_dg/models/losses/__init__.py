"""Loss modules."""
from .alignment import AlignmentImages, AlignmentResult, DecoderFacts
from .feature_distance import DistanceRegion, FeatureDistance
from .ohem import OHEMCrossEntropyLoss
from .pixel_alignment import PixelAlignment
from .pixel_contrast import PixelContrast
from .projected_distance import ProjectedFeatureDistance
from .weighted import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszLoss,
    OhemCrossEntropy,
    TverskyLoss,
)

__all__ = [
    'AlignmentImages', 'AlignmentResult', 'CrossEntropyLoss', 'DecoderFacts', 'DiceLoss',
    'DistanceRegion', 'FeatureDistance', 'FocalLoss', 'LovaszLoss', 'OHEMCrossEntropyLoss',
    'OhemCrossEntropy', 'PixelAlignment', 'PixelContrast', 'ProjectedFeatureDistance', 'TverskyLoss'
]
