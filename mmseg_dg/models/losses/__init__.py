"""Loss modules."""
from .feature_distance import DistanceRegion, FeatureDistance

__all__ = ['DistanceRegion', 'FeatureDistance']
