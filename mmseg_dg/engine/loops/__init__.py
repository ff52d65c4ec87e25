"""Loops over several named data streams and several named domains."""
from .multi_domain import MultiDomainTestLoop, MultiDomainValLoop
from .multi_stream import MultiStreamTrainLoop
from .named_loaders import NamedLoaders

__all__ = ['MultiDomainTestLoop', 'MultiDomainValLoop', 'MultiStreamTrainLoop', 'NamedLoaders']
