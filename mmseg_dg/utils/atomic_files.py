"""Files appear whole or not at all: written beside their place, flushed to the disk, moved in one
step.
"""
import contextlib
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Union

#: Matches the names that :func:`part_name` makes, with host and process as groups.
_PART = re.compile(r'^\..+\.(?P<host>[\w-]+)\.(?P<process>\d+)\.part$')


def part_name(path: Path) -> Path:
    """The temporary name of a file: hidden, with host and process, so that two processes never
    share one.
    """
    return path.with_name(f'.{path.name}.{_host()}.{os.getpid()}.part')


def _host() -> str:
    """This machine's name with the characters that :data:`_PART` allows, at most 40 of them."""
    return re.sub(r'[^\w-]', '-', socket.gethostname())[:40] or 'host'


def flush(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk (``fsync``).

    Raises:
        OSError: A file cannot be flushed; the message names it. A folder that cannot is passed
            over.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network file systems flush files only, no folders
        if not path.is_dir():
            raise OSError(error.errno, f'{error.strerror} (while {path} was flushed to the '
                          'disk)') from error
    finally:
        os.close(handle)


@contextlib.contextmanager
def written_whole(path: Union[str, Path], durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to. When the block ends, the content is moved
    to ``path``; after an error ``path`` is as it was.

    Args:
        path: Of the file.
        durable: Wait until the content is on the disk, so that it survives a crash of the whole
            machine, not only of the process. False for many files that can be made again.

    Raises:
        OSError: It cannot be written (disk full, quota, rights); the message names ``path``, and no
            temporary file stays.
    """
    path = Path(path)
    part = part_name(path)
    try:
        yield part
        if durable:
            flush(part)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(
            error.errno, f'cannot write {path}: {error.strerror or error}. What was '
            'there before is unchanged') from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        flush(path.parent)  # the move itself is an entry of the folder


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a small text file whole."""
    with written_whole(path) as part:
        part.write_text(text, encoding='utf-8')


def remove_parts(folder: Union[str, Path]) -> list[str]:
    """Remove temporary files that killed processes left in a folder; returns their names.

    Call it only while the folder's lock (``run_lock``) is held: temporary files that living
    processes are writing would be removed, too.
    """
    gone = []
    for entry in Path(folder).iterdir() if Path(folder).is_dir() else ():
        # the latter are the names that earlier versions gave
        if _PART.match(entry.name) or entry.name.endswith(('.pth.part', 'last_checkpoint.part')):
            entry.unlink(missing_ok=True)
            gone.append(entry.name)
    return gone


def remove_dead_parts(folders: Iterable[Union[str, Path]]) -> int:
    """Remove temporary files that killed processes of this machine left in ``folders``; returns how
    many.

    Those of living processes and of other machines stay, so it needs no lock.
    """
    removed = 0
    for folder in sorted(set(map(Path, folders))):
        for entry in list(folder.iterdir()) if folder.is_dir() else ():
            part = _PART.match(entry.name)
            if part and part['host'] == _host() and not _alive(int(part['process'])):
                entry.unlink(missing_ok=True)
                removed += 1
    return removed


def _alive(process: int) -> bool:
    """Whether a process with this number runs on this machine; when in doubt, yes."""
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or a system that cannot tell
        pass
    return True
