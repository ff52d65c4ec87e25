"""Side effects around the training step."""
from .class_bias import ClassBiasPicturesHook, PseudoLabelStatisticsHook
from .class_prior import ClassPriorHook
from .decoder_warmup import DecoderWarmupHook
from .domain_checkpoint import DomainCheckpointHook
from .ema_update import EMAUpdateHook
from .finite_state import FiniteStateHook
from .reestimate_statistics import ReestimateStatisticsHook
from .report_material import ReportMaterialHook
from .style_prototypes import StylePrototypeHook
from .training_pictures import TrainingPicturesHook

__all__ = [
    'ClassBiasPicturesHook', 'ClassPriorHook', 'DecoderWarmupHook', 'DomainCheckpointHook',
    'EMAUpdateHook', 'FiniteStateHook', 'PseudoLabelStatisticsHook', 'ReestimateStatisticsHook',
    'ReportMaterialHook', 'StylePrototypeHook', 'TrainingPicturesHook'
]
