"""Arguments of a part: which ones it takes, and those a user may look for that it does not take."""
import functools
import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Callable, Optional, TypeVar

_Class = TypeVar('_Class', bound=type)


def unsupported_arguments(**reasons: str) -> Callable[[_Class], _Class]:
    """Class decorator: refuse keyword arguments that the class never had, each with the reason and
    the way out.

    Python's own "unexpected keyword argument" is right for a typing error, but not for an option
    that sister classes have or that the literature describes: whoever asks for it learns that it is
    absent, and where that is documented. For arguments that a class once had:
    :func:`mmseg_dg.utils.options.removed_arguments`.

    Args:
        reasons: Name of the argument -> the end of the message.

    Raises:
        TypeError: (by the decorated class) One of them was given, with whatever value but None.
    """
    def decorate(cls: _Class) -> _Class:
        """The same class, whose constructor looks at the arguments first."""
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

        vars(checked)['refused'] = frozenset(reasons)
        patched.__init__ = checked
        return cls

    return decorate


def accepted_arguments(cls: type) -> Optional[tuple[str, ...]]:
    """Names of the arguments a class takes, those of base classes included while they are handed
    on, in the order of the classes; None: any.

    Left out are those that a class sets itself (``fixed_arguments``) or refuses
    (:func:`unsupported_arguments`).
    """
    names: dict[str, None] = {}  # a dict keeps the order and takes each name once
    absent: set[str] = {'self'}
    for base in cls.__mro__:
        absent.update(vars(base).get('fixed_arguments', ()))
        if '__init__' not in vars(base):
            continue
        construct = vars(base)['__init__']
        if inspect.isfunction(construct):
            absent.update(vars(construct).get('refused', ()))
        parameters = inspect.signature(construct).parameters.values()
        names.update((p.name, None) for p in parameters
                     if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        # without **kwargs nothing is handed on to the next base
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return tuple(name for name in names if name not in absent)
    return None


def refuse_unknown(cls: type, unknown: Iterable[str]) -> None:
    """Refuse what is left of the keyword arguments of a class when each of its bases has taken its
    own.

    Args:
        cls: The class that is built.
        unknown: Names that none has taken.

    Raises:
        TypeError: There are any; the message has the closest names.
    """
    unknown = list(unknown)
    if not unknown:
        return
    known = accepted_arguments(cls) or ()
    hints = {name: get_close_matches(name, known, n=1, cutoff=0.6) for name in unknown}
    said = ', '.join(name + (f' (is {hints[name][0]} meant?)' if hints[name] else '')
                     for name in unknown)
    raise TypeError(f'{cls.__name__} takes no {said}; it takes: {", ".join(known)}')
