"""The least precision that computations on logits, features and images need."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import torch
from torch import Tensor, nn

#: Precisions a pass without gradients may run in, by the name a config gives.
LOWER_PRECISIONS = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision of any shape as float32; float32 and float64 as they are (the very same
    tensor).

    Averages, softmax and norms would round in between otherwise, and a threshold such as 0.968
    would then select other pixels under autocast.
    """
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def check_precision(name: str, precision: Optional[str]) -> Optional[str]:
    """The argument ``precision`` after a check that it can be had.

    Args:
        name: Of the argument, for the message.
        precision: ``'bf16'``, ``'fp16'`` or None.

    Raises:
        ValueError: Another one.
    """
    if precision is not None and precision not in LOWER_PRECISIONS:
        raise ValueError(f"{name}={precision!r}: use 'bf16', 'fp16', or None for the precision of "
                         "the other passes")
    return precision


@contextmanager
def lower_precision(precision: Optional[str], device: torch.device) -> Iterator[None]:
    """Autocast to ``precision`` inside the block; None: as outside.

    Args:
        precision: ``'bf16'``, ``'fp16'`` or None.
        device: Where the pass runs.
    """
    if precision is None:
        yield
        return
    with torch.autocast(device.type, dtype=LOWER_PRECISIONS[precision]):
        yield


@contextmanager
def module_in_lower_precision(module: nn.Module, precision: Optional[str]) -> Iterator[None]:
    """Within the block every call of ``module`` autocasts, and gives its maps in float32; what is
    around does not.

    Args:
        module: Gives a map or a sequence of maps for a tensor, its first argument.
        precision: ``'bf16'``, ``'fp16'`` or None.
    """
    if precision is None:
        yield
        return
    forward = module.forward

    def lowered(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward pass under autocast, its maps as float32."""
        with lower_precision(precision, x.device):
            maps = forward(x, *args, **kwargs)
        return at_least_float32(maps) if isinstance(maps, Tensor) else tuple(
            at_least_float32(m) for m in maps)

    module.forward = lowered  # hides the method of the class, for this instance only
    try:
        yield
    finally:
        del module.forward
