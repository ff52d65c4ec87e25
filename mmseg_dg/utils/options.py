"""Options from a config, checked against the function that takes them."""
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def check_options(function: Callable[..., Any], options: Iterable[str], name: str, skip: Iterable[str] = ()) -> None:
    """Refuse options a function does not take.

    Args:
        function: What the options are for; its parameters are their names.
        options: Names from a config (or the dict that has them as keys).
        name: What the config sets, for the message: ``cutmix``, ``fusion 'isa'``.
        skip: Parameters that are no options, because the caller gives them.

    Raises:
        ValueError: Unknown options; the message has them and those there are.
    """
    known = [key for key in inspect.signature(function).parameters if key not in set(skip)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f'{name} has no option {", ".join(unknown)}; it takes: {", ".join(known) or "none"}')
