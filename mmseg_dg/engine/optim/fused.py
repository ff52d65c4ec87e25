"""Adam's and AdamW's step as one kernel, where torch has it for these parameters."""
from collections.abc import Iterable
from functools import cache
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mmseg_dg.registry import OPTIMIZERS

_FUSED = (torch.optim.Adam, torch.optim.AdamW)
#: Options with which a config has already chosen an implementation.
_CHOSEN = ('fused', 'foreach', 'capturable', 'differentiable')


def fused_option(optimizer: dict, params: Iterable[Tensor]) -> dict[str, bool]:
    """``dict(fused=True)`` if the optimizer has a fused kernel for all parameters and its config
    does not choose another implementation; else empty.

    The kernel computes what the others do, to rounding. ``fused=False`` in the config switches it
    off.

    Args:
        optimizer: Config, by type.
        params: What it will step, of any shape.
    """
    cls = optimizer.get('type')
    cls = OPTIMIZERS.get(cls) if isinstance(cls, str) else cls
    if cls not in _FUSED or any(name in optimizer for name in _CHOSEN):
        return {}
    kinds = {(p.device.type, p.dtype) for p in params}
    return dict(fused=True) if all(_fused_step_works(cls, *kind) for kind in kinds) else {}


@cache
def _fused_step_works(cls: Callable[..., torch.optim.Optimizer], device: str,
                      dtype: torch.dtype) -> bool:
    """Whether torch can do a fused step of optimizer class ``cls`` on this device and dtype: found
    out by a step of one number, as versions of torch differ.
    """
    try:
        number = torch.zeros(1, device=device, dtype=dtype, requires_grad=True)
        number.grad = torch.zeros_like(number)
        cls([number], lr=1e-3, fused=True).step()
    except (RuntimeError, TypeError, ValueError):
        return False
    return True


def keep_implementation(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Let an optimizer keep its own ``fused`` and ``foreach`` when a state dict is loaded; returns
    the optimizer.

    Which implementation works depends on the machine: so checkpoints of fused and other steps
    continue each other.
    """
    optimizer.register_load_state_dict_pre_hook(_own_implementation)
    return optimizer


def _own_implementation(optimizer: torch.optim.Optimizer,
                        state: dict[str, Any]) -> Optional[dict[str, Any]]:
    """Hook of ``load_state_dict``: the saved ``state`` as it is to be loaded, with ``fused`` and
    ``foreach`` of its groups as the optimizer's groups have them.
    """
    groups = [
        dict(saved, **{key: present[key]
                       for key in ('fused', 'foreach') if key in present})
        for present, saved in zip(optimizer.param_groups, state['param_groups'])
    ]
    # a wrong number of groups is for the optimizer to refuse
    return dict(state, param_groups=groups + list(state['param_groups'][len(groups):]))
