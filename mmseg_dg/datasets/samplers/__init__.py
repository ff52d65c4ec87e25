"""Which sample comes next: endless, seeded, resumable samplers."""
from .class_uniform import ClassUniformSampler
from .infinite import StatefulInfiniteSampler, StatelessSampler
from .rare_class import RareClassSampler
from .request import SampleRequest

__all__ = [
    'ClassUniformSampler', 'RareClassSampler', 'SampleRequest', 'StatefulInfiniteSampler',
    'StatelessSampler'
]
