"""What encoders can be asked for."""
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class HasTokens(Protocol):
    """An encoder of patches that takes a mask of its tokens (``PlainViT``)."""
    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of the tokens of an image in pixels; ValueError where it cannot be."""


def image_channels(encoder: nn.Module) -> int:
    """Channels of the images that an encoder of any library reads: those of the convolution it
    names as its ``input_layer``, else of its first one; 3 for an encoder without convolutions.
    """
    layers = {name: m for name, m in encoder.named_modules() if isinstance(m, nn.Conv2d)}
    named = layers.get(getattr(encoder, 'input_layer', ''))
    first = named or next(iter(layers.values()), None)
    return first.in_channels if first is not None else 3
