"""Every training method: importing this module registers them."""
from .base import BaseMethod, stack_labels
from .dacs import DACS, StepDraws
from .ddep import DDeP, DDePDraws
from .deft import DeFT, JointFinetuning, StyledDraws
from .diffmatch import DiffMatch, DiffMatchDraws
from .domain_generalization import DomainGeneralization
from .fixmatch import FixMatch
from .masked_pass import MaskedDraws, MaskedPass
from .pretrained_denoiser import PretrainedDenoiser
from .semi_supervised import SemiDraws, SemiSupervised
from .supervised import Supervised, SupervisedDraws
from .unimatch import UniMatch
from .unimatch_v2 import UniMatchV2

__all__ = [
    'BaseMethod', 'DACS', 'DDeP', 'DDePDraws', 'DeFT', 'DiffMatch', 'DiffMatchDraws',
    'DomainGeneralization', 'FixMatch', 'JointFinetuning', 'MaskedDraws', 'MaskedPass',
    'PretrainedDenoiser', 'SemiDraws', 'SemiSupervised', 'StepDraws', 'StyledDraws', 'Supervised',
    'SupervisedDraws', 'UniMatch', 'UniMatchV2', 'stack_labels'
]
