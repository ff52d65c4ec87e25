"""What happens to one sample."""
from .cropping import CropBox, RareClassCrop
from .formatting import PackStreamInputs, PseudoLabelMargins
from .loading import LoadAnnotations, LoadSynthiaAnnotations

__all__ = [
    'CropBox', 'LoadAnnotations', 'LoadSynthiaAnnotations', 'PackStreamInputs', 'PseudoLabelMargins', 'RareClassCrop'
]
