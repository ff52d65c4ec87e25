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
    """Whether every group is stepped by a fused kernel that can leave the step out by itself.

    ``_step_supports_amp_scaling`` is the attribute by which torch's own loss scaler finds this out.
    """
    return getattr(optimizer, '_step_supports_amp_scaling', False) and all(
        group.get('fused') for group in optimizer.param_groups)


@contextmanager
def gated(optimizer: torch.optim.Optimizer, gradients: list[Tensor], ok: Tensor) -> Iterator[None]:
    """Inside, ``optimizer.step()`` uses no gradient if ``ok`` (bool 0-d, on the device) is False;
    the host does not read it.

    Fused optimizers leave the whole step out. Others step with gradients of zero: parameters stay
    finite, but weight decay and momentum move them, which only a run that is about to stop may
    ignore.

    Args:
        optimizer: Its ``step`` is called inside.
        gradients: All gradients that it reads, of any shape; set to 0 in place if ``ok`` is False
            and the optimizer is not fused.
        ok: Whether the step may be taken.
    """
    if is_fused(optimizer):
        # where torch's loss scaler leaves its flag: fused kernels change nothing if it is 1
        vars(optimizer)['found_inf'] = (~ok).float()
        try:
            yield
        finally:
            del vars(optimizer)['found_inf']
        return
    # gradients of one device and type, joined into one vector each: few kernels instead of many
    for bucket in buckets(gradients):
        scatter(torch.where(ok, flat(bucket), 0.), bucket)
    yield
