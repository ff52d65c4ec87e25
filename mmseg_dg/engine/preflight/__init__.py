"""Checks before iteration 0, with messages that name the file, the value and the fix; one module
per subject.
"""
from .batch_norm import check_batch_norm
from .classes import check_ignore_index, check_num_classes
from .configs import check_stream_config
from .engine import check_engine, check_method, check_optimizer
from .images import check_images
from .padding import warn_padding
from .paste import lines_to_paste
from .pixels import check_float_images, check_ignored_labels
from .problems import Problems, with_fix
from .run import config_problems
from .samples import CROPS, check_labels, check_samples
from .streams import check_streams, check_unlabeled, image_paths

__all__ = [
    'CROPS', 'Problems', 'check_batch_norm', 'check_engine', 'check_float_images',
    'check_ignore_index', 'check_ignored_labels', 'check_images', 'check_labels', 'check_method',
    'check_num_classes', 'check_optimizer', 'check_samples', 'check_stream_config', 'check_streams',
    'check_unlabeled', 'config_problems', 'image_paths', 'lines_to_paste', 'warn_padding',
    'with_fix'
]
