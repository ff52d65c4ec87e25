"""Optimizer construction, schedules, mixed precision, multi-pass stepping."""
from .bf16 import BF16OptimWrapper
from .component_param_groups import ComponentParamGroups, encoder_modules
from .layer_decay_param_groups import LayerDecayParamGroups
from .merged_param_groups import MergedParamGroups, merge_param_groups
from .report import log_schedule, schedule_lines
from .two_stage_poly import TwoStagePolyLR
from .warmup_cosine import WarmupCosineLR, cosine_factor
from .warmup_poly import WarmupPolyLR

__all__ = [
    'BF16OptimWrapper', 'ComponentParamGroups', 'LayerDecayParamGroups', 'MergedParamGroups',
    'TwoStagePolyLR', 'WarmupCosineLR', 'WarmupPolyLR', 'cosine_factor', 'encoder_modules',
    'log_schedule', 'merge_param_groups', 'schedule_lines'
]
