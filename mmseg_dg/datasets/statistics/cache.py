"""Where class statistics are kept: one ``.npy`` with the counts, one ``.json`` that says what they
belong to.
"""
import hashlib
import json
import logging
import os
import os.path as osp
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np
from mmengine.dist import broadcast_object_list, get_dist_info
from mmengine.logging import print_log

from mmseg_dg.utils.atomic_files import written_whole

from ..folder_scan import is_local
from ..traits import traits

FOLDER = 'class_statistics'
# raised where counts of earlier versions may be wrong; 2: sizes of label and image were compared;
# 3: reduce_zero_label=False of a loader counts
_VERSION = 3


def user_cache() -> str:
    """``$MMSEG_DG_CACHE`` or ``~/.cache/mmseg_dg``."""
    return os.environ.get('MMSEG_DG_CACHE') or osp.join(osp.expanduser('~'), '.cache', 'mmseg_dg')


@dataclass(frozen=True)
class CacheEntry:
    """The place of one dataset's statistics.

    Attributes:
        reads: Files without ending, tried in this order.
        writes: File without ending that is written.
        fingerprint: Of names, sizes and mapping; a file with another one is stale.
        shape: Expected (images, classes); (-1, columns) for tables with any number of rows.
        note: What the ``.json`` says for people.
    """
    reads: tuple[str, ...]
    writes: str
    fingerprint: str
    shape: tuple[int, int]
    note: str

    @classmethod
    def for_dataset(cls, dataset: Any, loader: Any, class_names: tuple[str, ...],
                    cache_dir: Optional[str]) -> 'CacheEntry':
        """The entry for a dataset that is not a wrapper.

        Two hashes: the identity (which files, read how) names the file; the fingerprint adds their
        sizes.

        Args:
            dataset: Its labels are counted.
            loader: The step of its pipeline that loads labels.
            class_names: Its classes.
            cache_dir: See :func:`~.class_statistics.class_statistics`.
        """
        described = traits(dataset)
        root = dataset.data_root or described.data_prefix.get('seg_map_path') or ''
        # 10 bytes are short enough for a file name and long enough that no two agree by chance
        identity, fingerprint = hashlib.blake2b(digest_size=10), hashlib.blake2b(digest_size=16)
        mapping = dict(dataset.get_data_info(0).get('label_map') or {})
        reduce_zero = getattr(loader, 'reduce_zero_label', None)
        if reduce_zero is None:  # as the loader decides
            reduce_zero = described.reduce_zero_label
        reading = (_VERSION, type(dataset).__name__, type(loader).__name__, class_names,
                   sorted(mapping.items()), bool(reduce_zero), described.own_ignore_index)
        identity.update(repr(reading).encode())
        for path, size in _files(dataset, root):
            identity.update(path.encode() + b'\0')
            fingerprint.update(f'{size},'.encode())
        fingerprint.update(identity.digest())
        name = f'{type(dataset).__name__}_{identity.hexdigest()}'
        beside_data = osp.join(root, FOLDER, name)
        # the same relative names may exist below several roots: a folder for all needs the root too
        root_hash = hashlib.blake2b(osp.abspath(root).encode(), digest_size=4).hexdigest()
        of_user = osp.join(user_cache(), FOLDER, f'{name}_{root_hash}')
        if cache_dir == 'beside':
            reads, writes = [beside_data], beside_data
        elif cache_dir is not None:
            writes = osp.join(cache_dir, f'{name}_{root_hash}')
            reads = [writes]
        else:
            reads, writes = [beside_data, of_user], of_user
        note = f'{type(dataset).__name__} in {root or "no data_root"}'
        return cls(tuple(reads), writes, fingerprint.hexdigest(), (len(dataset), len(class_names)),
                   note)

    def read_or_make(self, make: Callable[[], np.ndarray], rebuild: bool = False) -> np.ndarray:
        """The kept table, or one that process 0 makes (and keeps) while the others wait; they read
        it.

        Args:
            make: Counts and writes; also called by a process that cannot see the folder process 0
                wrote to.
            rebuild: Make it even if it is there.

        Raises:
            Exception: What ``make`` raised in process 0, in every process: none waits for ever.
        """
        rank, world_size = get_dist_info()
        table: Optional[np.ndarray] = None
        failure: list[Optional[Exception]] = [None]  # a list, because it is broadcast in place
        if rank == 0:
            try:
                table = None if rebuild else self.read()
                if table is None:
                    table = make()
            except Exception as error:
                failure[0] = error
        if world_size > 1:
            broadcast_object_list(failure, src=0)
        if failure[0] is not None:
            raise failure[0]
        if rank != 0:
            table = self.read()  # None: a cache folder that is local to each machine
        return make() if table is None else table

    def read(self) -> Optional[np.ndarray]:
        """The counts, memory-mapped read-only, or None when there is no good file: stale and
        damaged ones are passed over, with a line in the log.
        """
        for base in self.reads:
            try:
                with open(f'{base}.json', encoding='utf-8') as file:
                    meta = json.load(file)
                if meta.get('fingerprint') != self.fingerprint:
                    print_log(
                        f'class statistics: {base}.npy is stale (label files changed); '
                        'counting again', logger='current', level=logging.WARNING)
                    continue
                counts = np.load(f'{base}.npy', mmap_mode='r')
                _check_counts(counts)
            except FileNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001  a damaged cache raises whatever its bytes lead to
                print_log(f'class statistics: cannot read {base}.npy ({error}); counting '
                          'again', logger='current', level=logging.WARNING)
                continue
            # -1: any number of rows (centroids)
            fits = all(want in (-1, have) for have, want in zip(counts.shape, self.shape))
            if counts.ndim == 2 and fits:
                return counts
        return None

    def write(self, counts: np.ndarray) -> str:
        """Write both files, each in one step; returns the path of the counts.

        The counts come first, because the ``.json`` vouches for them.
        """
        folder = osp.dirname(self.writes)
        os.makedirs(folder, exist_ok=True)
        with written_whole(f'{self.writes}.npy', durable=False) as part, open(part, 'wb') as file:
            np.save(file, counts)  # a file, as np.save adds .npy to other names
        meta = dict(fingerprint=self.fingerprint, data=self.note, images=self.shape[0],
                    classes=self.shape[1])
        with written_whole(f'{self.writes}.json', durable=False) as part:
            part.write_text(json.dumps(meta, indent=1), encoding='utf-8')
        return f'{self.writes}.npy'


def _check_counts(counts: np.ndarray) -> None:
    """Refuse a table of a damaged file.

    Raises:
        ValueError: It holds what no count can give: not numbers, NaN, or negative.
    """
    if counts.dtype.kind not in 'iuf':
        raise ValueError(f'counts of type {counts.dtype}')
    if counts.size and not (np.isfinite(counts).all() and counts.min() >= 0):
        raise ValueError('it has counts that are negative or no numbers')


def _files(dataset: Any, root: str) -> Iterator[tuple[str, int]]:
    """Label paths relative to the root (remote ones as they are), with sizes (-1 where the file is
    not local).
    """
    backend_args, prefix = traits(dataset).backend_args, osp.join(root, '')
    on_disk: Optional[bool] = None
    for index in range(len(dataset)):
        path = dataset.get_data_info(index)['seg_map_path']
        if on_disk is None:  # asked once, of the first path: it holds for the dataset
            on_disk = is_local(path, backend_args)
        size = os.stat(path).st_size if on_disk else -1
        yield (_relative(path, root, prefix) if root and on_disk else path), size


def _relative(path: str, root: str, prefix: str) -> str:
    """``osp.relpath(path, root)``, by cutting ``prefix`` (the root with ``/``) off where that gives
    the same: ``relpath`` costs more than anything else here, and a million files have one root.
    """
    rest = path[len(prefix):]
    # nothing that relpath would normalize: . and .. as folders, double slashes
    plain = path.startswith(prefix) and './' not in rest and '//' not in rest
    return rest if plain else osp.relpath(path, root)
