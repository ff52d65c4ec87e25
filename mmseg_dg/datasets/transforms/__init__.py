"""What happens to one sample."""
from .centroid_crop import CentroidCrop
from .cropping import ArrayBox, RareClassCrop
from .evaluation_frame import CenterCropPad, ResizeToHeight
from .formatting import PackStreamInputs, PseudoLabelMargins
from .images import LoadImageFromFile
from .loading import LoadAnnotations, LoadSynthiaAnnotations
from .photometric import ColorJitter, RandomGaussianBlur
from .rescaling import RandomRescale

__all__ = [
    'ArrayBox', 'CenterCropPad', 'CentroidCrop', 'ColorJitter', 'LoadAnnotations', 'LoadImageFromFile',
    'LoadSynthiaAnnotations',
    'PackStreamInputs', 'PseudoLabelMargins', 'RandomGaussianBlur', 'RandomRescale', 'RareClassCrop', 'ResizeToHeight'
]
