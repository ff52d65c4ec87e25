"""Every training method: importing this module registers them."""
from .base import BaseMethod, stack_labels
from .dacs import DACS, StepDraws
from .ddep import DDeP, DDePDraws
from .deft import DeFT, JointFinetuning, StyledDraws
from .diffmatch import DiffMatch, DiffMatchDraws
from .domain_generalization import DomainGeneralization
from .fixmatch import FixMatch
from .pretrained_denoiser import PretrainedDenoiser
from .semi_supervised import SemiDraws, SemiSupervised
from .supervised import Supervised, SupervisedDraws
from .unimatch import UniMatch

__all__ = [
    'BaseMethod', 'DACS', 'DDeP', 'DDePDraws', 'DeFT', 'DiffMatch', 'DiffMatchDraws', 'DomainGeneralization',
    'FixMatch', 'JointFinetuning', 'PretrainedDenoiser', 'SemiDraws', 'SemiSupervised', 'StepDraws', 'StyledDraws',
    'Supervised', 'SupervisedDraws', 'UniMatch', 'stack_labels'
]
