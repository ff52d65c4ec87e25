"""Side effects around the training step."""
from .checkpoint import DomainCheckpointHook
from .ema_update import EMAUpdateHook
from .style_prototypes import StylePrototypeHook
from .training_pictures import TrainingPicturesHook

__all__ = ['DomainCheckpointHook', 'EMAUpdateHook', 'StylePrototypeHook', 'TrainingPicturesHook']
