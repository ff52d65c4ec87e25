"""Pictures a person wants to look at."""
from .prediction_grid import prediction_grid
from .step_pictures import step_grid, step_tiles
from .tiles import Tile, colorize, compose, heat, image_to_rgb, mask_picture, save_picture
from .visualizer import SegmentationVisualizer

__all__ = [
    'SegmentationVisualizer', 'Tile', 'colorize', 'compose', 'heat', 'image_to_rgb', 'mask_picture', 'prediction_grid',
    'save_picture', 'step_grid', 'step_tiles'
]
