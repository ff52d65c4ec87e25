"""What happens to one sample."""
from .cropping import CropBox, RareClassCrop
from .formatting import PackStreamInputs, PseudoLabelMargins
from .loading import LoadAnnotations, LoadSynthiaAnnotations
from .rescaling import RandomRescale

__all__ = [
    'CropBox', 'LoadAnnotations', 'LoadSynthiaAnnotations', 'PackStreamInputs', 'PseudoLabelMargins',
    'RandomRescale', 'RareClassCrop'
]
