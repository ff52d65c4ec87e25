"""Parameters and buffers of a method without a walk over its modules in every step."""
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn


class TensorList(NamedTuple):
    """What a walk over all modules of a method finds; a run takes it once.

    Attributes:
        parameters: Names and parameters.
        holders: Modules that hold buffers. Not the buffers: assigning one puts another tensor in
            its place.
        on_gpu: Whether a parameter lies on a CUDA device.
    """
    parameters: list[tuple[str, nn.Parameter]]
    holders: list[nn.Module]
    on_gpu: bool

    @classmethod
    def of(cls, method: nn.Module) -> 'TensorList':
        """The list of ``method``, by a walk over its modules as they are now."""
        parameters = list(method.named_parameters())
        return cls(parameters, [m for m in method.modules() if m._buffers],
                   any(p.is_cuda for _, p in parameters))

    def buffers(self) -> Iterator[Tensor]:
        """The buffers, of any shape, that the modules hold at this moment."""
        for module in self.holders:
            yield from (b for b in module._buffers.values() if b is not None)
