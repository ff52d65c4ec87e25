"""The fixed size that a pipeline cuts out of its images.

Shapes: H x W pixels.
"""
from typing import Any, Optional

from .traits import traits
from .wrappers import leaves, transforms_of

#: Transforms that cut a fixed size out of an image.
CROPS = ('RandomCrop', 'RareClassCrop', 'CenterCrop', 'CentroidCrop')


def crop_size(dataset: Any) -> Optional[tuple[int, int]]:
    """(H, W) of the last fixed-size crop in the pipeline of a dataset (of the first one inside
    wrappers), None if there is none or something resizes or pads afterwards.
    """
    size = None
    for leaf in leaves(dataset):
        for transform in transforms_of(traits(leaf).pipeline):
            kind = type(transform).__name__
            if kind in CROPS:
                value = transform.crop_size
                size = (value, value) if isinstance(value, int) else tuple(value)
            elif 'Resize' in kind or kind == 'Pad':
                size = None
        break  # datasets of one stream have one crop
    return size
