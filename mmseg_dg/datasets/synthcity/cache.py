"""Writes pictures of the synthetic city to a folder, once, in parallel, so that they can be read as
ordinary files.

Safe at any moment: a file appears under its name only when it is complete, one process per folder
writes while others wait (their waiting ends by itself if the writer dies), and what is there
already is kept.
"""
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import current_process, get_all_start_methods, get_context
from pathlib import Path
from typing import Callable, Optional

import cv2
import numpy as np
from mmengine.logging import print_log

from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.utils.console import Progress
from mmseg_dg.utils.cores import available_cores

from .renderer import VERSION, check_request, render

IMAGES, LABELS = 'img', 'label'
IMAGE_SUFFIX, LABEL_SUFFIX = '.jpg', '.png'
_JPEG_QUALITY = 90
_STALE = 3600  # seconds after which a temporary file is certainly abandoned
_QUIET = 10  # seconds between lines of progress in a log
_WORTH_A_POOL = 8  # fewer pictures are rendered faster than processes start


def default_root() -> Path:
    """``$MMSEG_DG_CACHE/synthcity``, or ``~/.cache/mmseg_dg/synthcity``."""
    return Path(os.environ.get('MMSEG_DG_CACHE')
                or Path.home() / '.cache' / 'mmseg_dg') / 'synthcity'


def city_folder(root: Path, domain: str, size: tuple[int, int], seed: int) -> Path:
    """The folder of one domain; its name holds everything that the pictures depend on."""
    return Path(root) / f'v{VERSION}_{size[0]}x{size[1]}_seed{seed}' / domain


def file_name(index: int) -> str:
    """The name of a picture without its suffix."""
    return f'{index:06d}'


def missing_pictures(folder: Path, indices: Sequence[int]) -> list[int]:
    """Which of the pictures do not have both their files (image and label) yet; an empty file (a
    disk that was full) does not count.
    """
    try:
        images, labels = ({
            entry.name
            for entry in os.scandir(folder / part) if entry.stat().st_size
        } for part in (IMAGES, LABELS))
    except (FileNotFoundError, NotADirectoryError):  # no such folder: nothing is there
        return list(indices)
    return [
        k for k in indices
        if file_name(k) + IMAGE_SUFFIX not in images or file_name(k) + LABEL_SUFFIX not in labels
    ]


def write_city(folder: Path, seed: int, domain: str, size: tuple[int, int], indices: Sequence[int],
               num_workers: Optional[int] = None) -> int:
    """Write the pictures that are not there yet.

    Args:
        folder: Where ``img/NNNNNN.jpg`` (quality 90) and ``label/NNNNNN.png`` go; created if
            needed.
        seed: Seed of the city.
        domain: Domain of the city.
        size: (width, height) in pixels.
        indices: Numbers of the pictures.
        num_workers: Processes to render with; None: as many as this process may use processors.

    Returns:
        How many pictures this call wrote.

    Raises:
        ValueError: See :func:`renderer.render`.
        OSError: The folder cannot be written.
    """
    check_request(domain, size)
    if not missing_pictures(folder, indices):  # also lets a complete folder be read-only
        return 0
    try:
        for part in (IMAGES, LABELS):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with _only_writer(folder) as lock:
            # asked again: another process may have written them while this one waited
            missing = missing_pictures(folder, indices)
            if missing:
                _remove_abandoned(folder)
                _write_missing(partial(_write_picture, folder, seed, domain, size), missing,
                               num_workers, folder, lock)
            return len(missing)
    except OSError as error:
        raise OSError(
            error.errno, f'the synthetic city cannot be written to {folder}: {error}. Choose a '
            'writable folder with enough space by data_root=... or the environment '
            'variable MMSEG_DG_CACHE') from error


def _write_missing(write: Callable[[int], None], missing: list[int], num_workers: Optional[int],
                   folder: Path, lock: int) -> None:
    """Render pictures, in several processes where it is worth it.

    Args:
        write: Renders and writes the picture of an index; picklable.
        missing: Indices to render.
        num_workers: Processes; None: as many as this process may use processors.
        folder: For messages.
        lock: File descriptor of the folder's lock, -1 for none; see :func:`_start_worker`.
    """
    workers = min(num_workers or available_cores(), len(missing))
    print_log(
        f'rendering {len(missing)} pictures of the synthetic city into {folder} with '
        f'{workers} process{"es" if workers > 1 else ""}', logger='current')
    progress, begin = Progress('rendering pictures', len(missing), _QUIET), time.time()
    # alone where a pool costs more than it saves; daemons may not have children
    if workers == 1 or len(missing) < _WORTH_A_POOL or current_process().daemon:
        for index in missing:
            write(index)
            progress.update()
    else:
        with _pool(workers, lock) as pool:
            try:  # in chunks of at most 8 pictures, at least four chunks for each process
                for _ in pool.map(write, missing,
                                  chunksize=max(1, min(8,
                                                       len(missing) // (4 * workers)))):
                    progress.update()
            except BaseException:  # interrupted, or a picture failed: begin no further ones
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    print_log(f'{len(missing)} pictures rendered in {time.time() - begin:.1f} s', logger='current')


def _pool(workers: int, lock: int) -> ProcessPoolExecutor:
    """Worker processes that end with this one; ``lock``: file descriptor of the folder's lock."""
    # Forked processes need not import torch and mmseg again, nor a __main__ guard in the user's
    # script; they use NumPy and single-threaded OpenCV only. macOS' system libraries do not survive
    # a fork.
    fork = 'fork' in get_all_start_methods() and sys.platform != 'darwin'
    context = get_context('fork' if fork else 'spawn')
    # a spawned process does not inherit the descriptor of the lock, so that it has none to close
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker,
                               initargs=(os.getpid(), lock if fork else -1))


def _start_worker(parent: int, lock: int) -> None:
    """Begin a worker, so that it neither outlives its parent nor holds its parent's lock.

    Args:
        parent: Process number.
        lock: Inherited file descriptor of the lock, -1 for none. The lock would last as long as any
            process has it open, also after the parent was killed.
    """
    cv2.setNumThreads(1)
    if lock >= 0:
        os.close(lock)

    def watch() -> None:
        """End this process once it has another parent: its own has ended."""
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _only_writer(folder: Path) -> Iterator[int]:
    """Wait until no other process writes to the folder; yields the lock's file descriptor, -1
    without one.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system: work may be done twice, but files stay whole
        yield -1
        return
    with open(folder / '.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print_log(f'waiting for another process that renders the synthetic city into {folder}',
                      logger='current')
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: as above
            yield -1
            return
        yield file.fileno()


def _remove_abandoned(folder: Path) -> None:
    """Delete half-written files of processes that were killed: temporary ones (named as
    :func:`written_whole` names them) that have not changed for an hour.
    """
    for part in (IMAGES, LABELS):
        for path in (folder / part).glob('.*.part'):
            try:
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()
            except FileNotFoundError:
                pass  # its writer was still alive and has just renamed it


def _write_picture(folder: Path, seed: int, domain: str, size: tuple[int, int], index: int) -> None:
    """Render a picture and write its label and its image."""
    image, label = render(seed, index, domain, size)
    _write(folder / LABELS / (file_name(index) + LABEL_SUFFIX), label, [])
    _write(folder / IMAGES / (file_name(index) + IMAGE_SUFFIX), image,
           [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _write(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    """Write an image file that is complete from the moment it has its name; ``options`` are those
    of ``cv2.imencode``.
    """
    data = cv2.imencode(path.suffix, pixels, options)[1]
    # not waiting for the disk: after a crash of the machine the pictures can be rendered again
    with written_whole(path, durable=False) as temporary:
        temporary.write_bytes(data.tobytes())
