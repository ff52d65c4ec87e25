"""From published labels to the files that training reads; the commands are
``tools/dataset_converters/*.py``.
"""
from .engine import Job, Report, SizeMismatch, convert
from .files import write_bytes, write_label, write_list
from .recipes import ACDC, CITYSCAPES, GTA, MAPILLARY, SYNTHIA, Part, Recipe, TableLabels, find_jobs

__all__ = [
    'ACDC', 'CITYSCAPES', 'GTA', 'Job', 'MAPILLARY', 'Part', 'Recipe', 'Report', 'SYNTHIA',
    'SizeMismatch', 'TableLabels', 'convert', 'find_jobs', 'write_bytes', 'write_label',
    'write_list'
]
