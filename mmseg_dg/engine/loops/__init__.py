"""Loops over several named data streams and several named domains."""
from mmseg_dg.engine.named_loaders import NamedLoaders

from .multi_domain import MultiDomainTestLoop, MultiDomainValLoop
from .multi_stream import MultiStreamTrainLoop

__all__ = ['MultiDomainTestLoop', 'MultiDomainValLoop', 'MultiStreamTrainLoop', 'NamedLoaders']
