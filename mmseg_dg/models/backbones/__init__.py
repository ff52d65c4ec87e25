"""Encoders that mmseg and mmpretrain lack or compute differently from the papers."""
from .mix_transformer import MixTransformer

__all__ = ['MixTransformer']
