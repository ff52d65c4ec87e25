"""Pure tensor functions: no state, no registry; randomness enters as drawn parameters or as an
explicit generator.
"""
from .block_mask import draw_kept_blocks, enlarge_blocks
from .blur import blur_kernel_size, gaussian_blur
from .channel_dropout import (
    ComplementaryMasks,
    draw_complementary_masks,
    drop_complementary_channels,
)
from .class_mix import class_mask, draw_mix_classes, mix
from .color import (
    JitterParams,
    color_jitter,
    denormalize,
    draw_jitter_params,
    hsv_to_rgb,
    normalize,
    rgb_to_hsv,
)
from .consistency import PseudoLabels, confident_cross_entropy, pseudo_labels_from
from .crop_boxes import CropBox, cut_box, draw_crop_box, shift_box, shrink_box, sliding_boxes
from .cutmix import check_cutmix, draw_cutmix_box, paste_boxes
from .denoising import add_noise, clean_estimate, noise_gamma, psnr
from .encoded_images import EncodedImages, mix_encoded, paste_encoded
from .entropy import (
    check_fraction,
    entropy_guided_boxes,
    highest_pixels,
    linear_schedule,
    pixel_entropy,
)
from .farthest_points import farthest_points
from .feature_distance import class_membership, downscale_labels, feature_distance
from .lab_style import LABStyleDraws, draw_lab_style, lab_style, rgb_to_unit_lab, unit_lab_to_rgb
from .labels import check_ignore_index
from .noise import seeded_noise
from .pixel_accuracy import pixel_accuracy
from .pixel_alignment import PixelView, cut_boxes
from .pixel_contrast import pair_contrast
from .precision import at_least_float32
from .pseudo_labels import confident_pseudo_labels, pseudo_label_weights, pseudo_labels
from .rare_class import rare_class_probabilities
from .strong_view import (
    StrongJitter,
    StrongView,
    apply_strong_view,
    check_strong_view,
    draw_strong_view,
)
from .style import channel_statistics, restyle, style_consistency

__all__ = [
    'ComplementaryMasks', 'CropBox', 'EncodedImages', 'JitterParams', 'LABStyleDraws', 'PixelView',
    'PseudoLabels', 'StrongJitter', 'StrongView', 'add_noise', 'apply_strong_view',
    'at_least_float32', 'blur_kernel_size', 'channel_statistics', 'check_cutmix', 'check_fraction',
    'check_ignore_index', 'check_strong_view', 'class_mask', 'class_membership', 'clean_estimate',
    'color_jitter', 'confident_cross_entropy', 'confident_pseudo_labels', 'cut_box', 'cut_boxes',
    'denormalize', 'downscale_labels', 'draw_complementary_masks', 'draw_crop_box',
    'draw_cutmix_box', 'draw_jitter_params', 'draw_kept_blocks', 'draw_lab_style',
    'draw_mix_classes', 'draw_strong_view', 'drop_complementary_channels', 'enlarge_blocks',
    'entropy_guided_boxes', 'farthest_points', 'feature_distance', 'gaussian_blur',
    'highest_pixels', 'hsv_to_rgb', 'lab_style', 'linear_schedule', 'mix', 'mix_encoded',
    'noise_gamma', 'normalize', 'pair_contrast', 'paste_boxes', 'paste_encoded', 'pixel_accuracy',
    'pixel_entropy', 'pseudo_label_weights', 'pseudo_labels', 'pseudo_labels_from', 'psnr',
    'rare_class_probabilities', 'restyle', 'rgb_to_hsv', 'rgb_to_unit_lab', 'seeded_noise',
    'shift_box', 'shrink_box', 'sliding_boxes', 'style_consistency', 'unit_lab_to_rgb'
]
