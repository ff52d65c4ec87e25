"""Networks: image -> logits."""
from .hrda import HRDAEncoderDecoder
from .network import (
                      CropBox,
                      NetworkLosses,
                      distance_maps,
                      draw_crop_box,
                      head_losses,
                      predict_logits,
                      reference_features,
                      segmentation_losses,
)

__all__ = [
    'CropBox', 'HRDAEncoderDecoder', 'NetworkLosses', 'distance_maps', 'draw_crop_box',
    'head_losses', 'predict_logits', 'reference_features', 'segmentation_losses'
]
