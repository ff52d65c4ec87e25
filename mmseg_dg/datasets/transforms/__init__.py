"""What happens to one sample."""
from .centroid_crop import CentroidCrop
from .cropping import CropBox, RareClassCrop
from .evaluation_frame import CenterCropPad, ResizeToHeight
from .formatting import PackStreamInputs, PseudoLabelMargins
from .loading import LoadAnnotations, LoadSynthiaAnnotations
from .photometric import ColorJitter, RandomGaussianBlur
from .rescaling import RandomRescale

__all__ = [
    'CenterCropPad', 'CentroidCrop', 'ColorJitter', 'CropBox', 'LoadAnnotations', 'LoadSynthiaAnnotations',
    'PackStreamInputs', 'PseudoLabelMargins', 'RandomGaussianBlur', 'RandomRescale', 'RareClassCrop', 'ResizeToHeight'
]
