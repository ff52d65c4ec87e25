"""Loss modules."""
from .alignment import AlignmentImages, AlignmentResult, DecoderFacts
from .feature_distance import DistanceRegion, FeatureDistance
from .ohem import OHEMCrossEntropyLoss
from .pixel_alignment import PixelAlignment
from .pixel_contrast import PixelContrast

__all__ = [
    'AlignmentImages', 'AlignmentResult', 'DecoderFacts', 'DistanceRegion', 'FeatureDistance',
    'OHEMCrossEntropyLoss', 'PixelAlignment', 'PixelContrast'
]
