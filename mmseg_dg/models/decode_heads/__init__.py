"""Decoders."""
from .base import FusedFeatureHead
from .daformer_head import DAFormerHead
from .deeplab_v2_head import DeepLabV2Head
from .hrda_head import HRDAHead
from .segformer_head import SegFormerPaperHead

__all__ = ['DAFormerHead', 'DeepLabV2Head', 'FusedFeatureHead', 'HRDAHead', 'SegFormerPaperHead']
