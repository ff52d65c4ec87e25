"""What happens to one sample."""
from .centroid_crop import CentroidCrop
from .evaluation_frame import CenterCropPad, ResizeToHeight
from .formatting import PackStreamInputs, PseudoLabelMargins
from .load_image import LoadImageFromFile
from .load_stack import LoadImageStack
from .loading import LoadAnnotations, LoadSynthiaAnnotations
from .photometric import ColorJitter, RandomGaussianBlur
from .random_rescale import RandomRescale
from .rare_class_crop import ArrayBox, RareClassCrop

__all__ = [
    'ArrayBox', 'CenterCropPad', 'CentroidCrop', 'ColorJitter', 'LoadAnnotations',
    'LoadImageFromFile', 'LoadImageStack', 'LoadSynthiaAnnotations', 'PackStreamInputs',
    'PseudoLabelMargins', 'RandomGaussianBlur', 'RandomRescale', 'RareClassCrop', 'ResizeToHeight'
]
