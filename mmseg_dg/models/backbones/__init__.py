"""Encoders that mmseg and mmpretrain lack or compute differently from the papers."""
from .hybrid_vit import HybridViT
from .mix_transformer import MixTransformer
from .stem_features import StemMobileNetV2, StemResNet
from .style_hallucination import StyleHallucination

__all__ = ['HybridViT', 'MixTransformer', 'StemMobileNetV2', 'StemResNet', 'StyleHallucination']
