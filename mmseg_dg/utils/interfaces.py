"""Overrides that miss the name they mean."""
from difflib import get_close_matches


def public_names(cls: type) -> set[str]:
    """Names without underscore that a class body defines."""
    return {name for name in vars(cls) if not name.startswith('_')}


def refuse_near_misses(cls: type, interface: type, cutoff: float = 0.85) -> None:
    """Refuse a subclass that defines a name nearly like one of its interface: a misspelled override
    is never called.

    Names that any base class defines are passed over: they do override something. To be called
    from ``__init_subclass__`` of the interface.

    Args:
        cls: The subclass.
        interface: The base class whose names others call.
        cutoff: Least similarity (:mod:`difflib`) of a name that is taken for a spelling error.

    Raises:
        TypeError: The name, and the one that is probably meant.
    """
    interface_names = public_names(interface)
    inherited = {name for base in cls.__mro__[1:] for name in vars(base)}
    for name in sorted(public_names(cls) - inherited):
        meant = get_close_matches(name, interface_names, n=1, cutoff=cutoff)
        if meant:
            raise TypeError(f'{cls.__name__}.{name} overrides nothing of {interface.__name__}: is '
                            f'{meant[0]} meant? Otherwise choose a name that is less like it')
