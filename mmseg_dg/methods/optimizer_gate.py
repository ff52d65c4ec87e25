"""What lets an optimizer step or not: a loss scaler, and a flag on the device."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from mmseg_dg.utils.buckets import buckets, flat, scatter


@runtime_checkable
class ScalesLoss(Protocol):
    """An optim wrapper with a loss scaler, as mmengine's for float16.

    Attributes:
        loss_scaler: A gradient scaler of torch.
    """
    loss_scaler: Any


def has_scaler(optim_wrapper: Any) -> bool:
    """Whether a loss scaler (float16) watches over the gradients."""
    return isinstance(optim_wrapper, ScalesLoss) and optim_wrapper.loss_scaler.is_enabled()


def is_fused(optimizer: torch.optim.Optimizer) -> bool:
    """Whether every group is stepped by a fused kernel that can leave the step out by itself."""
    return getattr(optimizer, '_step_supports_amp_scaling', False) and all(
        group.get('fused') for group in optimizer.param_groups)


@contextmanager
def gated(optimizer: torch.optim.Optimizer, gradients: list[Tensor], ok: Tensor) -> Iterator[None]:
    """Inside, ``optimizer.step()`` takes no part of gradients where ``ok`` (bool 0-d, on the
    device) is False.

    Fused optimizers leave the whole step out. Others step with gradients of zero: they stay finite,
    but weight decay and momentum move them, which only a run that is about to stop may ignore.
    """
    if is_fused(optimizer):
        vars(optimizer)['found_inf'] = (~ok).float()  # fused optimizers read it
        try:
            yield
        finally:
            del vars(optimizer)['found_inf']
        return
    # gradients of one device and type, joined into one vector each: few kernels instead of many
    for bucket in buckets(gradients):
        scatter(torch.where(ok, flat(bucket), 0.), bucket)
    yield
