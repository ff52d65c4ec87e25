"""Training methods: a network and the passes of one training step.

The names of :mod:`mmseg_dg.methods.registered` can be imported from here; it is loaded when the
first of them is asked for. So a module that is part of every method (``step``, ``teacher``) costs
no network and no other method.
"""
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .registered import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """What Python calls for a name that this module does not have itself: gives the class or
    function of that name in :mod:`mmseg_dg.methods.registered`.

    Raises:
        AttributeError: There is none of this name.
    """
    # the import system asks for ``__path__`` and the like: that must not load every method
    if not name.startswith('__'):
        # not "from . import registered", which would call this function again
        registered = importlib.import_module(f'{__name__}.registered')
        if name in registered.__all__:
            return getattr(registered, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
