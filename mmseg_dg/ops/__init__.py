"""Pure tensor functions: no state, no registry; randomness enters as drawn parameters or as an explicit generator."""
from .block_mask import draw_block_mask
from .blur import blur_kernel_size, gaussian_blur
from .class_mix import class_mask, draw_mix_classes, mix
from .color import JitterParams, color_jitter, denormalize, draw_jitter_params, hsv_to_rgb, normalize, rgb_to_hsv
from .crop_boxes import CropBox, cut_box, draw_crop_box, shift_box, shrink_box, sliding_boxes
from .farthest_points import farthest_points
from .feature_distance import class_membership, downscale_labels, feature_distance
from .pseudo_labels import confident_pseudo_labels, pseudo_label_weights, pseudo_labels
from .rare_class import rare_class_probabilities
from .style import channel_statistics, restyle, style_consistency

__all__ = [
    'CropBox', 'JitterParams', 'blur_kernel_size', 'channel_statistics', 'class_mask', 'class_membership',
    'color_jitter', 'confident_pseudo_labels', 'cut_box', 'denormalize', 'downscale_labels',
    'draw_block_mask', 'draw_crop_box', 'draw_jitter_params', 'draw_mix_classes', 'farthest_points',
    'feature_distance', 'gaussian_blur', 'hsv_to_rgb', 'mix', 'normalize', 'pseudo_label_weights',
    'pseudo_labels', 'rare_class_probabilities', 'restyle', 'rgb_to_hsv', 'shift_box', 'shrink_box',
    'sliding_boxes', 'style_consistency'
]
