"""Decoders."""
from .base import FusedFeatureHead
from .daformer_head import DAFormerHead
from .deeplab_v2_head import DeepLabV2Head
from .deft_deeplab_v3plus_head import DeFTDeepLabV3PlusHead
from .hrda_head import HRDAHead
from .mask_denoiser import LabelCode, MaskDenoiserHead
from .segformer_paper_head import SegFormerPaperHead
from .token_heads import DPTHead, TokenLinearHead, TokenUpscaleHead
from .transunet_head import TransUNetHead
from .unet_head import UNetHead

__all__ = [
    'DAFormerHead', 'DPTHead', 'DeFTDeepLabV3PlusHead', 'DeepLabV2Head', 'FusedFeatureHead',
    'HRDAHead', 'LabelCode', 'MaskDenoiserHead', 'SegFormerPaperHead', 'TokenLinearHead',
    'TokenUpscaleHead', 'TransUNetHead', 'UNetHead'
]
