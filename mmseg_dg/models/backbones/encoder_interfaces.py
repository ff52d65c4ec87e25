"""What some encoders can be asked for."""
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasTokens(Protocol):
    """An encoder of patches that takes a mask of its tokens (``PlainViT``)."""
    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of the tokens of an image in pixels; ValueError where it cannot be."""
