"""What the encoders below a module never change in training, by name. Nothing of the encoders is
imported."""
from typing import Any, Protocol, runtime_checkable

from torch import nn

#: Last part of the name of a checkpoint's entry that says which file a frozen encoder's tensors are
#: in: bytes of JSON, uint8.
RECORD = 'frozen_file'


@runtime_checkable
class KnowsFrozen(Protocol):
    """An encoder that says what of it is trained (``EncoderOptions``); its ``trainable`` is
    ``'all'``, ``'adapters'`` or ``'none'``.
    """
    def frozen_names(self) -> set[str]:
        """Names of its own state dict whose tensors never change in training."""


def encoders_in(module: nn.Module) -> dict[str, Any]:
    """``{path: encoder}`` of the modules at or below ``module`` that know what of them is trained
    (``EncoderOptions``); the path of ``module`` itself is ``''``.
    """
    return {name: part for name, part in module.named_modules() if isinstance(part, KnowsFrozen)}


def frozen_names(module: nn.Module) -> set[str]:
    """Names of a module's state dict that the encoders in it never change in training."""
    return {
        f'{path}.{name}' if path else name
        for path, encoder in encoders_in(module).items()
        for name in encoder.frozen_names()
    }
