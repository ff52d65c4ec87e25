"""A procedural city: street scenes with exact labels of all 19 Cityscapes classes, in several
domains.

Everything is drawn by this package (NumPy and OpenCV): nothing is downloaded and no third-party art
is used.
"""
from .looks import DOMAINS
from .renderer import VERSION, check_request, render

__all__ = ['DOMAINS', 'VERSION', 'check_request', 'render']
