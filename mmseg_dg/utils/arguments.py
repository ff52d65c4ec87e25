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
                value = kwargs.pop(name)  # a config may spell out that it is not used: NAME=None
                if value is not None:
                    raise TypeError(f'{cls.__name__} takes no {name} (got {value!r}): '
                                    f'{reasons[name]}')
            construct(self, *args, **kwargs)

        vars(checked)['refused'] = frozenset(reasons)  # for accepted_arguments()
        patched.__init__ = checked
        return cls

    return decorate


def accepted_arguments(cls: type) -> Optional[tuple[str, ...]]:
    """Names of the arguments that the constructor of a class takes.

    Constructors are looked at from the class to its bases, as long as each hands the rest on
    (``**kwargs``). Left out are arguments that a class sets itself (its attribute
    ``fixed_arguments``, a tuple of names) or refuses (:func:`unsupported_arguments`).

    Returns:
        The names, those of the class before those of its bases; None where the last base takes
        any name.
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
    """Refuse keyword arguments that no constructor of a class and its bases has taken.

    Called by the last base, which gets what is left in its ``**kwargs``, and by classes for
    their ``fixed_arguments``.

    Args:
        cls: The class that is built.
        unknown: Names that were not taken; none is the good case.

    Raises:
        TypeError: ``unknown`` is not empty; the message has the closest names.
    """
    unknown = list(unknown)
    if not unknown:
        return
    accepted = accepted_arguments(cls) or ()
    named = []
    for name in unknown:
        closest = get_close_matches(name, accepted, n=1, cutoff=0.6)
        named.append(name + (f' (is {closest[0]} meant?)' if closest else ''))
    raise TypeError(f'{cls.__name__} takes no {", ".join(named)}; it takes: {", ".join(accepted)}')
