"""mmseg_dg: segmentation that survives a change of domain or a lack of labels.

Importing the package prepares the library stack (``compat``) and makes
``custom_imports=dict(imports=['mmseg_dg'])``
enough: every part is registered lazily through the ``locations`` of :mod:`mmseg_dg.registry`.

The names a person uses are loaded when they are asked for: ``mmseg_dg.adapt``, ``semi_adapt``,
``train``, ``semi``, ``suggest``, ``load``.
"""
from typing import Any

from . import cli, compat
from .version import __version__

cli.hide_gpus_if_asked()  # mmengine looks for a GPU once, when it is imported
compat.setup()  # before anything imports mmseg.utils or mmcv.ops

from .weights.shipped import register_shipped_weights  # noqa: E402  torch and mmengine are prepared now

register_shipped_weights()

#: Name -> module of this package that has it.
_LAZY = {
    'adapt': 'apis.own_data', 'semi_adapt': 'apis.own_data', 'train': 'apis.own_data',
    'semi': 'apis.own_data', 'load': 'apis.loading', 'suggest': 'apis.suggest'
}
__all__ = ['__version__', *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    import importlib
    return getattr(importlib.import_module(f'{__name__}.{_LAZY[name]}'), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
