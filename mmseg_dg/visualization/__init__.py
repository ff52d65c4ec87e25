"""Pictures a person wants to look at."""
from .bias_pictures import class_iou_chart, class_share_chart
from .prediction_grid import prediction_grid
from .step_pictures import step_grid, step_tiles
from .stream_pictures import legend, mixed_grid, mixed_state, stream_grid, strong_grid
from .tiles import Tile, colorize, compose, heat, image_to_rgb, mask_picture, save_picture
from .visualizer import SegmentationVisualizer

__all__ = [
    'SegmentationVisualizer', 'Tile', 'class_iou_chart', 'class_share_chart', 'colorize', 'compose',
    'heat', 'image_to_rgb', 'legend', 'mask_picture', 'mixed_grid', 'mixed_state',
    'prediction_grid', 'save_picture', 'step_grid', 'step_tiles', 'stream_grid', 'strong_grid'
]
