"""Writes the maps of a frozen encoder that :mod:`mmseg_dg.datasets.stored_views` reads."""

import json
import os
import shutil
import time
import zlib
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Union

import numpy as np

from mmseg_dg.utils.atomic_files import write_text

from .stored_views import BUILDING, INDEX, PROGRESS, SUMS, check_recipe, read_progress

_SAVE_EVERY = 20.0  # seconds of work an interrupted build may lose


class ViewWriter:
    """Writes the views of one stream, in order, and goes on where an interrupted build ended.

    The files lie in a folder of their own (:data:`~.stored_views.BUILDING`) until all are complete
    and are moved up then. Hold the folder's lock meanwhile.

    Args:
        folder: Of the stream.
        recipe: See :class:`~.stored_views.StoredViews`.
        arrays: ``{name: (dtype, shape)}``, the first axis being the views of all images.
        description: The other entries of :func:`~.stored_views.read_index`.

    Attributes:
        part: The folder of unfinished files.
        index: What :func:`~.stored_views.read_index` will give.
        done: Views that are written already.

    Raises:
        FeatureCacheError: The folder holds features of another recipe, perhaps unfinished ones.
        OSError: Of any method: the disk is full, or cannot be written. What :meth:`save` brought to
            the disk stays, and a later build goes on from there.
    """
    def __init__(
        self,
        folder: Union[str, Path],
        recipe: Mapping,
        arrays: Mapping[str, tuple[str, Sequence[int]]],
        description: Mapping,
    ) -> None:
        self.folder, self.part = Path(folder), Path(folder) / BUILDING
        check_recipe(folder, recipe)
        _, first_shape = next(iter(arrays.values()))
        self._rows = first_shape[0]  # views of all images
        # beside the arrays a checksum of each array's part of each view: (arrays, all views)
        with_sums = {**arrays, SUMS: ('uint32', (len(arrays), self._rows))}
        # through JSON, as it will be read again: tuples become lists, so _done can compare
        self.index = json.loads(json.dumps(dict(description, recipe=dict(recipe),
                                                arrays=with_sums)))
        self.done = self._done()
        if not self.done:
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)
        # {name: (file, place of the first value in it, in bytes)}
        self._files: dict[str, tuple[FileIO, int]] = {
            name: self._opened(name, dtype, tuple(shape))
            for name, (dtype, shape) in self.index['arrays'].items()
        }
        self._saved = time.monotonic()

    def _path(self, name: str) -> Path:
        """File of an array: among the unfinished ones, unless a build that ended within
        :meth:`finish` has moved it up already.
        """
        part, moved = self.part / f'{name}.npy', self.folder / f'{name}.npy'
        return moved if self.done == self._rows and not part.is_file() else part

    def _opened(self, name: str, dtype: str, shape: tuple[int, ...]) -> tuple[FileIO, int]:
        """The array's file, as an interrupted build left it (``done`` > 0) or made anew, and where
        its values begin, in bytes.

        Values are put there by ``write``, not through a memory map: on a full disk that is an
        ``OSError``, while the first touch of a mapped page without a block ends the process by a
        signal (SIGBUS), without a word.
        """
        # 'w+': writes the header and sets the full size; blocks are taken as views come
        array = np.lib.format.open_memmap(self._path(name), mode='r' if self.done else 'w+',
                                          dtype=dtype, shape=shape)
        return self._path(name).open('r+b', buffering=0), array.offset

    def _done(self) -> int:
        """Views that an interrupted build of the same content has written; 0 where there is none,
        its files are incomplete or unreadable: all begins anew.
        """
        progress = read_progress(self.folder)
        # images may have been moved meanwhile: their paths are no content
        if progress is None or dict(progress['index'], images=0) != dict(self.index, images=0):
            return 0
        # the build may have ended while the whole files were moved up
        folders = [self.part] if progress['done'] < self._rows else [self.part, self.folder]
        complete = all(
            any((folder / f'{name}.npy').is_file() for folder in folders)
            for name in self.index['arrays'])
        return progress['done'] if complete else 0

    def write(self, rows: slice, values: Mapping[str, np.ndarray]) -> None:
        """Write views and their checksums; now and then :meth:`save` the progress.

        Args:
            rows: Places of the views among all; begins at ``done``, or before it to write views
                once more.
            values: {name of the array: (views, ...)}, the array of checksums left out.
        """
        names = list(self.index['arrays'])
        for name, value in values.items():
            value = np.ascontiguousarray(value, dtype=self.index['arrays'][name][0])
            self._put(name, rows.start * value[0].nbytes, value.tobytes())
            sums = np.array([zlib.crc32(x.tobytes()) for x in value], np.uint32)
            first = names.index(name) * self._rows + rows.start  # in the flattened array
            self._put(SUMS, first * sums.itemsize, sums.tobytes())
        self.done = max(self.done, rows.stop)
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self.save()

    def _put(self, name: str, place: int, content: bytes) -> None:
        """Write ``content`` into an array's file, ``place`` bytes behind the first value."""
        file, begin = self._files[name]
        file.seek(begin + place)
        rest = memoryview(content)
        while rest:  # a nearly full disk takes a part first
            rest = rest[file.write(rest):]

    def read(self, name: str) -> np.ndarray:
        """A copy of an array as far as it is written, zeros elsewhere."""
        return np.load(self._path(name))

    def save(self) -> None:
        """Bring what is written to the disk, and after it the number of views, so that a later
        build goes on from here.
        """
        for file, _ in self._files.values():
            os.fsync(file.fileno())
        write_text(self.part / PROGRESS, json.dumps(dict(done=self.done, index=self.index)))
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Everything is written: move the files to their place; the index comes last, because a
        folder with an index counts as complete.
        """
        self.save()
        for file, _ in self._files.values():
            file.close()
        for name in self.index['arrays']:
            if self._path(name).parent == self.part:
                self._path(name).replace(self.folder / f'{name}.npy')
        write_text(self.folder / INDEX, json.dumps(self.index, indent=1))
        shutil.rmtree(self.part, ignore_errors=True)
