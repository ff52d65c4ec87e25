"""Modules between encoder and decoder."""
from .feature_upsample import FeatureUpsampleNeck

__all__ = ['FeatureUpsampleNeck']
