"""MATLAB files, looked through before scipy sees them.

scipy believes the sizes that a file states: one that lies makes it ask for all memory, or fail in
many ways. Here every element is followed first: its bytes are there, arrays have as many numbers as
their dimensions say, nests end.
Layout: "MAT-File Format", The MathWorks (level 5, what MATLAB's ``save`` has written since version
5).
"""
import io
import math
import struct
import zlib
from typing import Any, NamedTuple, Optional

import numpy as np

#: Bytes of one variable once unpacked; the largest label of the datasets read here has some 50 MB.
LARGEST = 2**29
_DEEPEST = 16  # structures in one another
_BYTES, _UINT32 = 1, 6  # types of an element
# type of an element: bytes per number
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_MATRIX, _COMPRESSED = 14, 15
# classes of an array
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _NUMBERS = 1, 2, 3, 4, 5, range(6, 16)


class _Damaged(Exception):
    """A size, count or type that the file states is not what its bytes hold."""


class _Element(NamedTuple):
    """One piece of a file: its type (a key of ``_SIZES``, matrix or compressed) and its bytes."""
    kind: int
    data: memoryview

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count, which nobody calls
        """How many numbers its bytes hold; _Damaged where the type has no numbers, or the bytes
        are not a whole number of them.
        """
        size = _SIZES.get(self.kind)
        if size is None or len(self.data) % size:
            raise _Damaged(f'{len(self.data)} bytes of type {self.kind}')
        return len(self.data) // size


class _Reader:
    """Goes through the elements of a piece of a file.

    Args:
        data: The piece.
        order: Byte order as :mod:`struct` writes it, '<' or '>'.
    """
    def __init__(self, data: memoryview, order: str) -> None:
        self.data, self.order, self.place = data, order, 0

    @property
    def left(self) -> int:
        """Bytes from the current place to the end of the piece."""
        return len(self.data) - self.place

    def next(self, kind: Optional[int] = None) -> _Element:
        """The element at the current place; the reader moves behind it and its padding.

        Args:
            kind: The type it must have; None: any.

        Raises:
            _Damaged: Another type, or fewer bytes than it states.
        """
        if self.left < 8:
            raise _Damaged('it ends within an element')
        first, size = struct.unpack_from(f'{self.order}II', self.data, self.place)
        # usual: 4 bytes type, 4 bytes size, the data; small: 2 + 2 bytes, whose upper two (0 in a
        # type) are the size, then up to four bytes of data, so that all fits into eight
        if first >> 16:
            found, size, start = first & 0xffff, first >> 16, self.place + 4
            end, after = start + size, self.place + 8
            if size > 4:
                raise _Damaged(f'a small element of {size} bytes')
        else:
            found, start = first, self.place + 8
            end = start + size
            # the next element begins at a multiple of eight bytes, except after a compressed one
            after = end if found == _COMPRESSED else end + -size % 8
        if end > len(self.data):
            raise _Damaged(f'an element of {size} bytes where {len(self.data) - start} are left')
        if kind is not None and found != kind:
            raise _Damaged(f'an element of type {found} in the place of type {kind}')
        self.place = min(after, len(self.data))  # the last one may lack its padding
        return _Element(found, self.data[start:end])

    def integers(self) -> list[int]:
        """The numbers of the next element, which must be 32-bit integers: a shape, or places."""
        element = self.next()
        if element.kind not in (5, 6):
            raise _Damaged(f'dimensions of type {element.kind}')
        return list(struct.unpack(f'{self.order}{element.count}i', element.data))


def load_mat(data: bytes, path: str) -> dict[str, Any]:
    """The variables of a MATLAB file, as ``scipy.io.loadmat`` gives them.

    Args:
        data: The file.
        path: For messages.

    Raises:
        ValueError: Not such a file, or damaged; the message names it.
    """
    try:
        check_mat(data)
    except (_Damaged, struct.error, zlib.error, RecursionError, MemoryError) as error:
        raise ValueError(f'{path}: not a readable MATLAB file, it is damaged or of another kind '
                         f'({error}). Fetch it again') from error
    from scipy.io import loadmat
    try:
        return loadmat(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001  scipy has many ways of saying that a file is damaged
        raise ValueError(
            f'{path}: not a readable MATLAB file ({type(error).__name__}: {error})') from error


def check_mat(data: bytes) -> None:
    """Follow every element of a file.

    Raises:
        _Damaged: A size or count does not hold.
        struct.error, zlib.error: The file is cut off.
    """
    # the header: 116 bytes text, 8 bytes of other use, 2 bytes version, then IM or MI, which shows
    # the order of bytes
    if len(data) < 128:
        raise _Damaged(f'{len(data)} bytes, less than its header')
    order = {b'IM': '<', b'MI': '>'}.get(bytes(data[126:128]))
    if data[:8] == b'\x89HDF\r\n\x1a\n' or (order and struct.unpack(f'{order}H', data[124:126])[0]
                                            == 0x0200):
        raise _Damaged('it is of version 7.3 (HDF5): save it with -v7')
    if order is None or struct.unpack(f'{order}H', data[124:126])[0] != 0x0100:
        raise _Damaged('it does not begin like one')
    reader = _Reader(memoryview(data)[128:], order)
    if not reader.left:
        raise _Damaged('there is no variable in it')
    while reader.left:
        element = reader.next()
        if element.kind == _COMPRESSED:
            inner = _Reader(memoryview(_unpacked(element.data, order)), order)
            element = inner.next(_MATRIX)
        if element.kind != _MATRIX:
            raise _Damaged(f'a variable of type {element.kind}')
        _check_matrix(element.data, order, 0)


def _unpacked(data: memoryview, order: str) -> bytes:
    """The content of one compressed element, type and size included; no more is unpacked than the
    size in its first eight bytes says. ``order`` is that of its bytes, ``<`` or ``>``.
    """
    stream = zlib.decompressobj()
    start = stream.decompress(data, 8)
    if len(start) < 8:
        raise _Damaged('a compressed variable of less than 8 bytes')
    size = struct.unpack(f'{order}II', start)[1]
    if size > LARGEST:
        raise _Damaged(f'a variable of {size} bytes, more than {LARGEST}')
    rest = stream.decompress(stream.unconsumed_tail, size + 8)  # 8: padding may follow
    if len(rest) < size:
        raise _Damaged(f'a variable of {size} bytes of which {len(rest)} are there')
    stream.decompress(stream.unconsumed_tail, 8)  # reads on to the checksum
    if not stream.eof:
        raise _Damaged('a compressed variable that does not end')
    return start + rest


def _check_matrix(data: memoryview, order: str, depth: int) -> None:
    """Walk through a matrix element and refuse (_Damaged) sizes that contradict each other, before
    scipy reads it.

    Args:
        data: The element's bytes: array flags, shape, name, then what its class holds.
        order: Byte order, '<' or '>'.
        depth: How many structures or cells it lies in.
    """
    if len(data) == 0:
        return  # an empty cell or field
    if depth > _DEEPEST:
        raise _Damaged(f'more than {_DEEPEST} structures in one another')
    reader = _Reader(data, order)
    flags = reader.next(_UINT32)
    if len(flags.data) != 8:
        raise _Damaged('array flags of another size')
    word = struct.unpack_from(f'{order}I', flags.data)[0]
    # the lowest byte is the array's class; of the flags above, only "complex" matters here
    kind, is_complex = word & 0xff, bool(word & 0x0800)
    shape = reader.integers()
    if not 2 <= len(shape) <= 32 or min(shape) < 0:
        raise _Damaged(f'an array of shape {shape[:8]}')
    count = math.prod(shape)
    reader.next(_BYTES)  # its name
    if kind in _NUMBERS:
        for _ in range(1 + is_complex):  # real and imaginary parts
            found = reader.next().count
            if found != count:
                raise _Damaged(f'{found} numbers for a shape of {shape[:8]}')
    elif kind == _CHAR:
        if count > len(reader.next().data):
            raise _Damaged(f'text shorter than its shape {shape[:8]}')
    elif kind == _SPARSE:
        _check_sparse(reader, shape, is_complex)
    elif kind in (_CELL, _STRUCT, _OBJECT):
        _check_parts(reader, kind, count, depth)
    else:
        raise _Damaged(f'an array of class {kind}')


def _check_parts(reader: _Reader, kind: int, count: int, depth: int) -> None:
    """Check the cells of a cell array or the fields of ``count`` structures, which are arrays
    themselves; ``depth`` counts how deep they are nested.
    """
    parts = count
    if kind == _OBJECT:
        reader.next(_BYTES)  # name of its class
    if kind != _CELL:
        # field names are one text, each filled up to the same length
        length = reader.integers()
        names = len(reader.next(_BYTES).data)
        if len(length) != 1 or length[0] <= 0 or names % length[0]:
            raise _Damaged(f'{names} bytes of field names')
        parts = count * (names // length[0])
        if parts == 0 and count > 1:
            raise _Damaged(f'{count} structures without fields')
    if parts * 8 > reader.left:  # each takes eight bytes at least
        raise _Damaged(f'{parts} cells or fields in {reader.left} bytes')
    for _ in range(parts):
        _check_matrix(reader.next(_MATRIX).data, reader.order, depth + 1)


def _check_sparse(reader: _Reader, shape: list[int], is_complex: bool) -> None:
    """Check a sparse array, which is stored by columns: the row of each value, where each column
    begins among the values (one number more than columns: the last is where they end), the values.
    """
    rows, begins = (np.asarray(reader.integers(), np.int64) for _ in range(2))
    counts = [reader.next().count for _ in range(1 + is_complex)]  # of real, imaginary parts
    consistent = len(shape) == 2 and len(begins) == shape[1] + 1
    consistent = consistent and begins[0] == 0 and bool((np.diff(begins) >= 0).all())
    # files may reserve more places than they use
    consistent = consistent and begins[-1] <= min(len(rows), *counts)
    used = rows[:begins[-1]] if consistent else rows
    if not consistent or (len(used) and (used.min() < 0 or used.max() >= shape[0])):
        raise _Damaged('a sparse array whose places lie outside of it')


def as_integers(array: Any, path: str, name: str) -> np.ndarray:
    """An array of a MATLAB file as integers, same shape.

    Raises:
        ValueError: It is empty, has no numbers, or some that are not whole (NaN among them) or too
            large for 32 bits.
    """
    array = np.asarray(array)
    if array.dtype.kind not in 'biuf' or array.size == 0:  # bool, integers, floating point
        raise ValueError(f'{path}: {name} has no numbers (type {array.dtype}, shape '
                         f'{array.shape}); it is damaged or another kind of file')
    whole = np.isfinite(array) & (np.abs(array) < 2**31) & (array == np.floor(array))
    if not whole.all():
        raise ValueError(f'{path}: {name} has values that are no whole numbers; it is damaged')
    return array.astype(np.int64)
