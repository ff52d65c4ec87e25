"""mmseg_dg: segmentation that survives a change of domain or a lack of labels.

Importing the package prepares the library stack (``compat``) and makes ``custom_imports=dict(imports=['mmseg_dg'])``
enough: every part is registered lazily through the ``locations`` of :mod:`mmseg_dg.registry`.
"""
from . import compat
from .version import __version__

compat.setup()  # before anything imports mmseg.utils or mmcv.ops

from .weights.shipped import register_shipped_weights  # noqa: E402  torch and mmengine are prepared now

register_shipped_weights()

__all__ = ['__version__']
