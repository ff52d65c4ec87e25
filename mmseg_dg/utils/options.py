"""Options from a config, checked against the function that takes them."""
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def check_options(function: Callable[..., Any], options: Iterable[str], name: str,
                  skip: Iterable[str] = ()) -> None:
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
        raise ValueError(f'{name} has no option {", ".join(unknown)}; it takes: '
                         f'{", ".join(known) or "none"}')


def removed_arguments(**hints: str) -> Callable[[type], type]:
    """Class decorator: refuse arguments that the class no longer takes, with what to write instead.

    Without it an old config stops with Python's "unexpected keyword argument", which does not say
    where the setting went. The signature of the class stays as it is.
    For arguments that a class never had: :func:`mmseg_dg.utils.arguments.unsupported_arguments`.

    Args:
        hints: Old name to the advice that ends the message.

    Raises:
        ValueError: When an object is made with one of the names.
    """
    def decorate(cls: type) -> type:
        """The same class, whose constructor looks at the arguments first."""
        patched: Any = cls  # a type checker holds that no class has its __init__ replaced
        original = patched.__init__

        @functools.wraps(original)
        def checked(self: Any, *args: Any, **kwargs: Any) -> None:
            for name in sorted(set(hints).intersection(kwargs)):  # the first of them is named
                raise ValueError(f'{type(self).__name__} takes no {name}={kwargs[name]!r} any '
                                 f'more: {hints[name]}')
            original(self, *args, **kwargs)

        patched.__init__ = checked
        return cls

    return decorate
