"""Networks: image -> logits."""
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
    'CropBox', 'NetworkLosses', 'distance_maps', 'draw_crop_box', 'head_losses', 'predict_logits',
    'reference_features', 'segmentation_losses'
]
