"""Optimizer construction, schedules, mixed precision, multi-pass stepping."""
from .constructor import MergedParamGroups, merge_param_groups
from .schedulers import WarmupPolyLR, warmup_poly_factor
from .wrappers import BF16OptimWrapper

__all__ = ['BF16OptimWrapper', 'MergedParamGroups', 'WarmupPolyLR', 'merge_param_groups', 'warmup_poly_factor']
