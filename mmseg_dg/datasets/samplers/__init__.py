"""Which sample comes next: endless, seeded, resumable samplers."""
from .infinite import StatefulInfiniteSampler, StatelessSampler
from .rare_class import RareClassSampler
from .request import SampleRequest

__all__ = ['RareClassSampler', 'SampleRequest', 'StatefulInfiniteSampler', 'StatelessSampler']
