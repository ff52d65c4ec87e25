"""Side effects around the training step."""
from .checkpoint import DomainCheckpointHook
from .ema_update import EMAUpdateHook
from .training_pictures import TrainingPicturesHook

__all__ = ['DomainCheckpointHook', 'EMAUpdateHook', 'TrainingPicturesHook']
