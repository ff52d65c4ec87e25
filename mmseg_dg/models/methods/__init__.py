"""Training methods: a network and the passes of one training step."""
from .base import BaseMethod, stack_labels
from .dacs import DACS, StepDraws
from .domain_generalization import DomainGeneralization
from .supervised import Supervised, SupervisedDraws

__all__ = ['BaseMethod', 'DACS', 'DomainGeneralization', 'StepDraws', 'Supervised', 'SupervisedDraws', 'stack_labels']
