"""Two numbers as a tuple of two, which the length of a general sequence does not tell."""
from collections.abc import Iterable


def pair(values: Iterable[int]) -> tuple[int, int]:
    """A (height, width), or any other two integers, as a tuple of exactly two.

    Raises:
        ValueError: There are not two.
    """
    first, second = values
    return first, second
