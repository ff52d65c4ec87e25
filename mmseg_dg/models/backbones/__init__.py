"""Encoders that mmseg and mmpretrain lack or compute differently from the papers."""
from .encoder_options import EncoderOptions
from .hybrid_vit import HybridViT
from .mix_transformer import MixTransformer
from .plain_vit import PlainViT
from .stem_features import StemMobileNetV2, StemResNet
from .stock import MobileNetV2, ResNeSt, ResNet, ResNetV1c
from .style_hallucination import StyleHallucination
from .timm_encoder import TimmEncoder
from .tiny_vit import TinyViT

__all__ = [
    'EncoderOptions', 'HybridViT', 'MixTransformer', 'MobileNetV2', 'PlainViT', 'ResNeSt', 'ResNet',
    'ResNetV1c', 'StemMobileNetV2', 'StemResNet', 'StyleHallucination', 'TimmEncoder', 'TinyViT'
]
