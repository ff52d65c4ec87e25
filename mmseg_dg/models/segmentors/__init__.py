"""Networks: image -> logits."""
from .hrda import HRDAEncoderDecoder
from .mask_diffusion import DenoisedLabels, MaskDiffusionEncoderDecoder, NoiseDraws
from .network import (
    NetworkLosses,
    TrainableSegmentor,
    distance_maps,
    draw_crop_box,
    head_losses,
    head_result,
    main_head,
    pixel_views,
    predict_logits,
    reference_features,
    segmentation_losses,
)
from .prior_adjustment import PriorAdjustment
from .sliding import SlidingEncoderDecoder

__all__ = [
    'DenoisedLabels', 'HRDAEncoderDecoder', 'MaskDiffusionEncoderDecoder', 'NetworkLosses',
    'NoiseDraws', 'PriorAdjustment', 'SlidingEncoderDecoder', 'TrainableSegmentor', 'distance_maps',
    'draw_crop_box', 'head_losses', 'head_result', 'main_head', 'pixel_views', 'predict_logits',
    'reference_features', 'segmentation_losses'
]
