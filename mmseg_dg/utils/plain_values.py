"""Checkpoints hold plain values only: tensors, numbers, text, lists, tuples, dicts.

:func:`to_plain` makes them so before they are written; :func:`histories_from_plain` gives back what
mmengine expects.
"""
import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Optional

import numpy as np
import torch
from mmengine.logging import print_log

from mmseg_dg.utils.plain_arrays import make_history

#: Keys of a log history in a file.
HISTORY = frozenset(('values', 'counts', 'max_length'))
_LEFT_OUT = object()  # what _plain gives for a value that cannot be made plain


def to_plain(checkpoint: dict) -> None:
    """Replace, in place, everything in a checkpoint that torch would not read back by itself.

    Log histories become ``dict(values=tensor (n,), counts=tensor (n,), max_length=int)``, numpy
    numbers Python ones, numpy arrays nested lists, config dicts dicts, paths text. Anything else
    (an object of a user's hook) is left out, and the log says so. ``state_dict`` keeps its own
    order and its metadata.
    """
    for key in list(checkpoint):
        if key == 'state_dict':
            continue
        value = _plain(checkpoint[key], key)
        if value is _LEFT_OUT:
            del checkpoint[key]
        else:
            checkpoint[key] = value


def _plain(value: Any, where: str) -> Any:
    """The same value made of types that every safe reader takes.

    Args:
        value: Anything.
        where: Its place in the checkpoint (dotted keys), for the warning.

    Returns:
        The plain value; ``_LEFT_OUT``, after a warning, where it has none.
    """
    from mmengine.logging import HistoryBuffer
    if isinstance(value, bytes) and not value:
        return ''  # torch's pickle protocol writes empty bytes as a call
    # type(): subclasses of numbers, such as enumerations, are converted below
    if value is None or isinstance(value,
                                   (bool, str, bytes)) or type(value) in (int, float, complex):
        return str(value) if isinstance(value, str) else value  # str(): no subclass of text
    if isinstance(value, torch.Tensor):
        return value.detach() if value.requires_grad else value
    if isinstance(value, HistoryBuffer):  # mmengine's record of one logged number
        # ``data`` is the pair (values, counts) of arrays (n,)
        columns = {
            name: torch.from_numpy(np.ascontiguousarray(column))
            for name, column in zip(('values', 'counts'), value.data)
        }
        return dict(columns, max_length=int(value.max_length))
    if isinstance(value, np.generic):
        return value.item()
    # kinds: bool, integer, unsigned, floating point, text
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biufU':
        return value.tolist()
    if isinstance(value, (torch.dtype, torch.Size, torch.device)):
        return value
    if isinstance(value, (int, float)):  # enumerations and the like
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, PurePath):
        return str(value)
    return _plain_container(value, where)


def _plain_container(value: Any, where: str) -> Any:
    """A dict, list, tuple or set of the plain values of its items, without those that have none;
    ``_LEFT_OUT``, after a warning, for anything else. Arguments as for :func:`_plain`.
    """
    if isinstance(value, Mapping):
        pairs = [(key, _plain(item, f'{where}.{key}')) for key, item in value.items()]
        kept = [(_plain(key, where), item) for key, item in pairs if item is not _LEFT_OUT]
        return OrderedDict(kept) if isinstance(value, OrderedDict) else dict(kept)
    if isinstance(value, (list, tuple)):
        items = [_plain(item, f'{where}.{i}') for i, item in enumerate(value)]
        kept = [item for item in items if item is not _LEFT_OUT]
        return tuple(kept) if isinstance(value, tuple) else kept
    if isinstance(value, (set, frozenset)):
        return {_plain(item, where) for item in value} - {_LEFT_OUT}
    _warn_left_out(where, type(value))
    return _LEFT_OUT


_WARNED: set[str] = set()  # places in a checkpoint that were warned of


def _warn_left_out(where: str, kind: type) -> None:
    """Warn, once for each place, of a value that a checkpoint cannot hold."""
    if where not in _WARNED:
        _WARNED.add(where)
        print_log(
            f'checkpoint: {where} is a {kind.__module__}.{kind.__qualname__}, which could '
            'not be read back safely; it is left out of every checkpoint', logger='current',
            level=logging.WARNING)


def histories_from_plain(checkpoint: Any) -> Any:
    """Turn the log histories of a checkpoint, as :func:`to_plain` writes them, into
    ``HistoryBuffer`` again.

    Args:
        checkpoint: Changed in place, below ``message_hub.log_scalars``; anything without that key
            comes back as it is. Histories on the meta device stay as they are: a file that is read
            so, only to see what is in it, gives no values.

    Returns:
        ``checkpoint``.

    Raises:
        pickle.UnpicklingError: Something with the keys of a history is none.
    """
    scalars = _nested(checkpoint, 'message_hub', 'log_scalars')
    if not isinstance(scalars, dict):
        return checkpoint
    for key, value in scalars.items():
        if isinstance(value, Mapping) and set(value) == HISTORY:
            columns = (value['values'], value['counts'])
            if not any(isinstance(item, torch.Tensor) and item.is_meta for item in columns):
                values, counts = (item.cpu().numpy() if isinstance(item, torch.Tensor) else item
                                  for item in columns)
                scalars[key] = make_history(values, counts, value['max_length'])
    return checkpoint


def _nested(value: Any, *keys: str) -> Optional[Any]:
    """The value below one key after another; None where one is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def same_when_plain(value: Any, saved: Any) -> bool:
    """Whether ``saved``, which a file gave back, is what :func:`to_plain` would make of ``value``.
    """
    checkpoint = dict(value=value)
    to_plain(checkpoint)
    try:
        # a value that cannot be made plain is gone, and then equal to nothing
        return 'value' in checkpoint and bool(checkpoint['value'] == saved)
    # tensors and arrays do not compare to one answer
    except (RuntimeError, ValueError, RecursionError):
        return False
