"""Stand-ins for the classes that older checkpoints name: what a file says about them is checked,
nothing is called.

mmengine saves its log histories as objects that hold numpy arrays. To unpickle such a file, torch
must be allowed to call numpy's own reconstruction, and a file then chooses type, size and raw
memory of an array: with a type of objects, pointers. Here the same names lead to the few lines
below, which read plain numbers and refuse the rest.
"""
import pickle
from types import FunctionType
from typing import Any, Optional

import numpy as np

#: ``kind + bytes`` of numbers that logs and settings consist of.
NUMBERS = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
_MOST_DIMENSIONS = 8


def _refuse(what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f'refused: {what}')


class PlainDtype:
    """``numpy.dtype`` of a file: a name and a byte order, both checked."""
    def __init__(self, name: Any = None, *_: Any) -> None:
        if name not in NUMBERS:
            raise _refuse(f'an array of type {name!r}; only plain numbers are read')
        self.name, self.order = name, '<'

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subarray, names, fields, item size, alignment, flags[, metadata])
        good = isinstance(state,
                          tuple) and 5 <= len(state) <= 9 and state[1] in ('<', '>', '|', '=')
        if not good or any(part is not None for part in state[2:5]):
            raise _refuse(f'an array type with the state {str(state)[:80]}')
        self.order = state[1]

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.name if self.order in '<>' else self.name)


class PlainArray:
    """``numpy.ndarray`` of a file; ``array`` is there once its bytes fit its type and shape."""

    array: Any = None

    def __setstate__(self, state: Any) -> None:
        # (version, shape, dtype, Fortran order, raw bytes)
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _refuse('an array without shape, type and bytes')
        self.array = numbers_from_bytes(state[2], state[4], state[1], state[3])


class ArrayClass:
    """What ``numpy.ndarray`` itself is in a file: an argument of the reconstruction, never called.
    """
    def __new__(cls, *_: Any) -> 'ArrayClass':
        raise _refuse('a file makes an array by itself')


def reconstruct(*_: Any) -> PlainArray:
    """``numpy.core.multiarray._reconstruct``: an empty place that ``__setstate__`` fills."""
    return PlainArray()


def scalar(dtype: Any, raw: Any = None) -> Any:
    """``numpy.core.multiarray.scalar``: a Python number."""
    return numbers_from_bytes(dtype, raw, (), False).item()


def numbers_from_bytes(dtype: Any, raw: Any, shape: Any, fortran: Any) -> np.ndarray:
    """An array (a copy) of plain numbers, after type, shape and number of bytes were checked.

    Args:
        dtype: A :class:`PlainDtype`; all arguments come from a file, and may be anything.
        raw: The numbers, as bytes.
        shape: A tuple of whole numbers.
        fortran: Whether they lie column by column.

    Raises:
        pickle.UnpicklingError: They contradict each other, or the type is not of plain numbers.
    """
    if not isinstance(dtype, PlainDtype):
        raise _refuse(f'an array of type {type(dtype).__name__}')
    if not isinstance(raw, (bytes, bytearray)):
        raise _refuse(f'an array whose content is {type(raw).__name__}, not bytes')
    good = isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS and all(
        type(n) is int and 0 <= n <= len(raw) for n in shape)  # every number has a byte at least
    if not good:
        raise _refuse(f'an array of shape {str(shape)[:80]}')
    kind, count = dtype.numpy(), 1
    for n in shape:
        count *= n
    if count * kind.itemsize != len(raw):
        raise _refuse(f'an array of {count} {dtype.name} with {len(raw)} bytes')
    # astype copies: the result is writable
    array = np.frombuffer(bytes(raw), kind).astype(kind.newbyteorder('='))
    return array.reshape(shape, order='F' if fortran else 'C')  # (count,) -> ``shape``


class PlainHistory:
    """mmengine's ``HistoryBuffer`` of a file: two columns of numbers; its table of statistics is
    left out.
    """
    def __init__(self, *_: Any) -> None:
        self.values = self.counts = self.max_length = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise _refuse(f'a log history that is {type(state).__name__}')
        self.values, self.counts = state.get('_log_history'), state.get('_count_history')
        self.max_length = state.get('max_length')

    def restore(self) -> Any:
        """A real ``HistoryBuffer`` with these numbers."""
        values, counts = (column.array if isinstance(column, PlainArray) else None
                          for column in (self.values, self.counts))
        return make_history(values, counts, self.max_length)


def make_history(values: Any, counts: Any, max_length: Any) -> Any:
    """A ``HistoryBuffer`` from two arrays (n,) of numbers.

    Raises:
        pickle.UnpicklingError: They are no columns of equal length.
    """
    from mmengine.logging import HistoryBuffer
    for column in (values, counts):
        if not isinstance(column,
                          np.ndarray) or column.ndim != 1 or column.dtype.kind not in 'biuf':
            raise _refuse('a log history that is no column of numbers')
    if len(values) != len(counts) or type(max_length) is not int or not 0 < max_length <= 10**9:
        raise _refuse(f'a log history of {len(values)} values, {len(counts)} counts, max_length '
                      f'{max_length!r}')
    history = HistoryBuffer(max_length=max_length)
    history._log_history, history._count_history = values, counts
    return history


def statistic_name(owner: Any, name: Any = None) -> str:
    """``builtins.getattr`` of a file: mmengine asks so for the statistics of a history, whose names
    are the answer.
    """
    if owner is not PlainHistory or name not in ('min', 'max', 'current', 'mean'):
        raise _refuse(f'a file asks for attribute {name!r:.80} of {owner!r:.80}')
    return name


def empty_bytes(*args: Any) -> bytes:
    """``builtins.bytes`` of a file: how the old pickle protocol of torch writes ``b''`` (an empty
    array).
    """
    if args:
        raise _refuse('bytes made from something else')
    return b''


def plain_config(*args: Any) -> dict:
    """``mmengine.config.ConfigDict`` of a file: a dict."""
    if len(args) > 1 or not all(isinstance(arg, dict) for arg in args):
        raise _refuse('a config that is no dict')
    return dict(*args)


def stand_ins() -> list:
    """``(object, name in the file)`` pairs for ``torch.serialization.add_safe_globals``."""
    pairs = [
        (PlainHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (plain_config, 'mmengine.config.config.ConfigDict'),
        (statistic_name, 'builtins.getattr'),
        (empty_bytes, 'builtins.bytes'),
        (ArrayClass, 'numpy.ndarray'),
        (PlainDtype, 'numpy.dtype'),
        # the last only so that torch lets it take its state
        (PlainArray, f'{__name__}.PlainArray')
    ]
    # written under numpy 1 and numpy 2
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        pairs += [(scalar, f'{module}.scalar'), (reconstruct, f'{module}._reconstruct')]
    return pairs


def restored(value: Any, seen: Optional[dict] = None) -> Any:
    """The same nest of dicts, lists and tuples with stand-ins replaced by what they stand for;
    changed in place.

    Args:
        value: What was unpickled.
        seen: ``{id: (object, result)}`` of containers met before: a file may hold one container
            many times, or inside itself.

    Raises:
        pickle.UnpicklingError: An array without content, or a class or function in the place of a
            value.
    """
    if isinstance(value, PlainHistory):
        return value.restore()
    if isinstance(value, PlainArray):
        if value.array is None:
            raise _refuse('an array without content')
        return value.array
    if isinstance(value, (PlainDtype, type, FunctionType)):
        raise _refuse('the name of a class or function in the place of a value')
    if not isinstance(value, (dict, list, tuple)):
        return value
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)][1]
    seen[id(value)] = value, value  # keeps it alive, so that no other object gets its id
    if isinstance(value, dict):
        for key in value:
            value[key] = restored(value[key], seen)
    elif type(value) is list:
        value[:] = [restored(item, seen) for item in value]
    elif type(value) is tuple:
        value = tuple(restored(item, seen) for item in value)
    return value
