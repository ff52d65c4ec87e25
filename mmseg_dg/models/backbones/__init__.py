"""Encoders that mmseg and mmpretrain lack or compute differently from the papers."""
from .mix_transformer import MixTransformer
from .style_hallucination import StyleHallucination

__all__ = ['MixTransformer', 'StyleHallucination']
