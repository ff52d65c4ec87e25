"""What a user calls from Python; a name loads its module when it is asked for, so that no tool pays
for another's.
"""
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inference import adapt, iter_predict, load_model, predict
    from .inputs import Input, list_inputs
    from .launch import build_runner
    from .prediction import Prediction
    from .row_configs import load_config

__all__ = [
    'Input', 'Prediction', 'adapt', 'build_runner', 'iter_predict', 'list_inputs', 'load_config',
    'load_model', 'predict'
]

_MODULES = {
    'Input': 'inputs', 'Prediction': 'prediction', 'adapt': 'inference', 'build_runner': 'launch',
    'iter_predict': 'inference', 'list_inputs': 'inputs', 'load_config': 'row_configs',
    'load_model': 'inference', 'predict': 'inference'
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, whose module is imported now (PEP 562: Python calls this for names
    that the package does not have yet).

    Raises:
        AttributeError: There is none of this name.
    """
    if name in _MODULES:
        return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
