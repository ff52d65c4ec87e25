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
    """The error to raise; ``checkpoint_reader`` knows it by ``refused:`` and adds the file."""
    return pickle.UnpicklingError(f'refused: {what}')


class PlainDtype:
    """``numpy.dtype`` of a file: a name and a byte order, both checked.

    Attributes:
        name: One of :data:`NUMBERS`.
        order: ``'<'`` little-endian, ``'>'`` big-endian, ``'|'`` (single bytes) or ``'='``
            (native), as numpy writes it.
    """
    def __init__(self, name: Any = None, *_: Any) -> None:  # ignored: whether to align, to copy
        if name not in NUMBERS:
            raise _refuse(f'an array of type {name!r}; only plain numbers are read')
        self.name, self.order = name, '<'

    def __setstate__(self, state: Any) -> None:
        """Take the byte order from the state of a pickled dtype; refuse one with fields."""
        # (version, byte order, subarray, names, fields, item size, alignment, flags[, metadata])
        good = isinstance(state,
                          tuple) and 5 <= len(state) <= 9 and state[1] in ('<', '>', '|', '=')
        if not good or any(part is not None for part in state[2:5]):  # subarray, names, fields
            raise _refuse(f'an array type with the state {str(state)[:80]}')
        self.order = state[1]

    def numpy(self) -> np.dtype:
        """The real dtype; without an explicit order it is that of this machine."""
        return np.dtype(self.order + self.name if self.order in '<>' else self.name)


class PlainArray:
    """``numpy.ndarray`` of a file.

    Attributes:
        array: The real array; None until the state with type, shape and bytes has come and been
            checked.
    """

    array: Any = None

    def __setstate__(self, state: Any) -> None:
        """Make the array from the state of a pickled one."""
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
    """``numpy.core.multiarray._reconstruct`` of a file: an empty array, whatever the arguments;
    the unpickler then calls its ``__setstate__``.
    """
    return PlainArray()


def scalar(dtype: Any, raw: Any = None) -> Any:
    """``numpy.core.multiarray.scalar`` of a file: a Python number from a :class:`PlainDtype` and
    the bytes of one value.
    """
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
    file_dtype, count = dtype.numpy(), 1
    for n in shape:
        count *= n
    if count * file_dtype.itemsize != len(raw):
        raise _refuse(f'an array of {count} {dtype.name} with {len(raw)} bytes')
    # to the byte order of this machine; astype copies: the result is writable
    array = np.frombuffer(bytes(raw), file_dtype).astype(file_dtype.newbyteorder('='))
    return array.reshape(shape, order='F' if fortran else 'C')  # (count,) -> ``shape``


class PlainHistory:
    """mmengine's ``HistoryBuffer`` of a file, a log of one number; its table of statistics is left
    out.

    Attributes:
        values: Logged values, in a file a :class:`PlainArray`; nothing is checked before
            :meth:`restore`.
        counts: What each value counts in a mean (sum of values / sum of counts), likewise.
        max_length: How many values the buffer keeps.
    """
    def __init__(self, *_: Any) -> None:
        self.values = self.counts = self.max_length = None

    def __setstate__(self, state: Any) -> None:
        """Take the three attributes, under mmengine's names, from the state of a pickled buffer."""
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

    Args:
        values: Logged values.
        counts: What each value counts in a mean (sum of values / sum of counts).
        max_length: How many values the buffer keeps.

    Raises:
        pickle.UnpicklingError: The arrays are no columns of equal length, or ``max_length`` is no
            positive number of a sane size.
    """
    from mmengine.logging import HistoryBuffer
    for column in (values, counts):
        # kinds: bool, integer, unsigned, floating point
        if not isinstance(column,
                          np.ndarray) or column.ndim != 1 or column.dtype.kind not in 'biuf':
            raise _refuse('a log history that is no column of numbers')
    if len(values) != len(counts) or type(max_length) is not int or not 0 < max_length <= 10**9:
        raise _refuse(f'a log history of {len(values)} values, {len(counts)} counts, max_length '
                      f'{max_length!r}')
    history = HistoryBuffer(max_length=max_length)
    # not through the constructor, which would copy them
    history._log_history, history._count_history = values, counts
    return history


def statistic_name(owner: Any, name: Any = None) -> str:
    """``builtins.getattr`` of a file: its ``name``, for the statistics of a log history alone.

    A pickled ``HistoryBuffer`` has a table of its methods, each written as
    ``getattr(HistoryBuffer, 'mean')``. :class:`PlainHistory` throws the table away, so that the
    name will do for the method.
    """
    if owner is not PlainHistory or name not in ('min', 'max', 'current', 'mean'):
        raise _refuse(f'a file asks for attribute {name!r:.80} of {owner!r:.80}')
    return name


def empty_bytes(*args: Any) -> bytes:
    """``builtins.bytes`` of a file: the old pickle protocol that torch uses writes ``b''``, the
    content of an empty array, as a call of ``bytes`` without arguments.
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
        # under its own name, which no file has: torch lets only listed classes take a state
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
    # other subclasses of list and tuple (torch.Size, named tuples) are kept as they are
    if isinstance(value, dict):
        for key in value:
            value[key] = restored(value[key], seen)
    elif type(value) is list:
        value[:] = [restored(item, seen) for item in value]
    elif type(value) is tuple:
        # a new object: whoever meets the old one again, elsewhere in the file, gets it too
        old, value = value, tuple(restored(item, seen) for item in value)
        seen[id(old)] = old, value
    return value
