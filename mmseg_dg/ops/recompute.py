"""Maps that are cheap to make are made again in the backward pass instead of being kept for it."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable

import torch
from torch import Tensor


class _MadeAgain:
    """Stands in the graph for a tensor: makes it when the backward pass first asks for it, and
    keeps it until all operations that saved it have had it.

    Args:
        make: Makes the tensor.
        like: The tensor of the forward pass, for its device.
    """
    def __init__(self, make: Callable[[], Tensor], like: Tensor) -> None:
        self.make = make
        self.readers = 0  # operations that saved the tensor: each asks once per backward pass
        self.still_to_read = 0  # of these, how many have not asked yet in this backward pass
        self.value: Tensor | None = None  # the tensor, while some have still to read it
        # the backward pass runs outside the forward pass's autocast, which the meta device has not
        kind = like.device.type
        self.autocast: AbstractContextManager = nullcontext() if like.is_meta else torch.autocast(
            kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    def saved(self) -> _MadeAgain:
        """Count one more operation that will ask for the tensor; returns what it keeps instead."""
        self.readers += 1
        return self

    def get(self) -> Tensor:
        """The tensor, of any shape; made once for all operations of a backward pass that ask for
        it.
        """
        if self.value is None:  # a backward pass begins, the first one or a later one
            self.still_to_read = self.readers
            with torch.no_grad(), self.autocast:
                self.value = self.make()
        value, self.still_to_read = self.value, self.still_to_read - 1
        if not self.still_to_read:
            self.value = None
        return value


def recomputed(tensor: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager:
    """A context in which operations that keep ``tensor`` for the backward pass keep ``make``
    instead.

    Args:
        tensor: Of any shape; not changed in place afterwards.
        make: Gives the same values again, from tensors that are kept anyway; called without
            gradients, once for each backward pass.

    Returns:
        The context, for ``with``; one that does nothing where no backward pass will come.
    """
    # a compiler decides for itself what it keeps
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and tensor.requires_grad):
        return nullcontext()
    stand_in, identity = _MadeAgain(make, tensor), _identity(tensor)

    def pack(saved: Tensor) -> Any:
        """What autograd keeps for the backward pass in place of a tensor: of ``tensor`` the
        stand-in, any other as it is.
        """
        return stand_in.saved() if _identity(saved) == identity else saved

    def unpack(packed: Any) -> Tensor:
        """The tensor again, made now if it was not kept."""
        return packed.get() if isinstance(packed, _MadeAgain) else packed

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


def _identity(x: Tensor) -> tuple:
    """Equal for two tensors of any shape that are the same elements of memory; ``_cdata`` is the
    storage object, which there is also on the meta device, where nothing has a memory address.
    """
    return x.untyped_storage()._cdata, x.storage_offset(), x.shape, x.stride(), x.dtype
