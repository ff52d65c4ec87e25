"""Maps that are cheap to make are made again in the backward pass instead of being kept for it."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable

import torch
from torch import Tensor


class _Made:
    """A tensor that is made when it is asked for, and kept until all who saved it have had it."""
    def __init__(self, make: Callable[[], Tensor], like: Tensor) -> None:
        self.make, self.uses, self.left = make, 0, 0
        self.value: Tensor | None = None
        # the backward pass runs outside the forward pass's autocast, which the meta device has not
        kind = like.device.type
        self.autocast: AbstractContextManager = nullcontext() if like.is_meta else torch.autocast(
            kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    def saved(self) -> _Made:
        """Count one more operation that will ask for the tensor."""
        self.uses += 1
        return self

    def get(self) -> Tensor:
        """The tensor, of any shape; made once for all operations of a backward pass that ask for
        it.
        """
        if self.value is None:
            self.left = self.uses
            with torch.no_grad(), self.autocast:
                self.value = self.make()
        value, self.left = self.value, self.left - 1
        if not self.left:
            self.value = None
        return value


def recomputed(tensor: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager:
    """A context in which operations that keep ``tensor`` for the backward pass keep ``make``
    instead.

    Args:
        tensor: Of any shape; not changed in place afterwards.
        make: Gives the same values again, from tensors that are kept anyway; called without
            gradients, once for each backward pass.
    """
    # a compiler decides for itself what it keeps
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and tensor.requires_grad):
        return nullcontext()
    made, known = _Made(make, tensor), _identity(tensor)

    def pack(saved: Tensor) -> Any:
        """What autograd keeps for the backward pass in place of a tensor."""
        return made.saved() if _identity(saved) == known else saved

    def unpack(packed: Any) -> Tensor:
        """The tensor again, made now if it was not kept."""
        return packed.get() if isinstance(packed, _Made) else packed

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


def _identity(x: Tensor) -> tuple:
    """Equal for two tensors of any shape that are the same elements; also on the meta device, where
    nothing has an address.
    """
    return x.untyped_storage()._cdata, x.storage_offset(), x.shape, x.stride(), x.dtype
