"""Arguments that a user may look for and that a part does not take: refused by name, with what to
do instead.
"""
import functools
from typing import Any, Callable, TypeVar

_Class = TypeVar('_Class', bound=type)


def refuses(**reasons: str) -> Callable[[_Class], _Class]:
    """Class decorator: keyword arguments that are not built, each with the reason and the way out.

    Python's own "unexpected keyword argument" is right for a typing error, but not for an option
    that sister classes have or that the literature describes: whoever asks for it learns that it is
    absent, and where that is documented.

    Args:
        reasons: Name of the argument -> the end of the message.

    Raises:
        TypeError: (by the decorated class) One of them was given, with whatever value but None.
    """
    def decorate(cls: _Class) -> _Class:
        patched: Any = cls  # a type checker holds that no class has its __init__ replaced
        construct = patched.__init__

        @functools.wraps(construct)
        def checked(self: Any, *args: Any, **kwargs: Any) -> None:
            for name in [n for n in kwargs if n in reasons]:
                value = kwargs.pop(name)
                if value is not None:
                    raise TypeError(f'{cls.__name__} takes no {name} (got {value!r}): '
                                    f'{reasons[name]}')
            construct(self, *args, **kwargs)

        patched.__init__ = checked
        return cls

    return decorate
