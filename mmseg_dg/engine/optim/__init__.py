"""Optimizer construction, schedules, mixed precision, multi-pass stepping."""
from .components import ComponentParamGroups, encoder_modules
from .constructor import MergedParamGroups, merge_param_groups
from .cosine import WarmupCosineLR, cosine_factor
from .layer_decay import LayerDecayParamGroups
from .report import log_schedule, schedule_lines
from .schedulers import WarmupPolyLR, warmup_poly_factor
from .two_stage import TwoStagePolyLR
from .wrappers import BF16OptimWrapper

__all__ = [
    'BF16OptimWrapper', 'ComponentParamGroups', 'LayerDecayParamGroups', 'MergedParamGroups', 'TwoStagePolyLR',
    'WarmupCosineLR', 'WarmupPolyLR', 'cosine_factor', 'encoder_modules', 'log_schedule', 'merge_param_groups',
    'schedule_lines', 'warmup_poly_factor'
]
