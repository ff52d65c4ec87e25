"""Modules between encoder and decoder."""
from .feature_upsample import FeatureUpsampleNeck
from .token_pyramid import TokenPyramidNeck

__all__ = ['FeatureUpsampleNeck', 'TokenPyramidNeck']
