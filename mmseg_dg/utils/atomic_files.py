"""Files appear whole or not at all: written beside their place, flushed to the disk, moved in one step."""
import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Union

_PART = re.compile(r'^\..+\.[\w-]+\.\d+\.part$')


def part_name(path: Path) -> Path:
    """The temporary name of a file: hidden, with host and process, so that two processes never share one."""
    host = re.sub(r'[^\w-]', '-', socket.gethostname())[:40] or 'host'
    return path.with_name(f'.{path.name}.{host}.{os.getpid()}.part')


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk; file systems that cannot be asked are left alone."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not path.is_dir():  # some network file systems refuse this for folders only
            raise OSError(error.errno, f'{error.strerror} (while {path} was flushed to the disk)') from error
    finally:
        os.close(handle)


@contextlib.contextmanager
def written_whole(path: Union[str, Path]) -> Iterator[Path]:
    """Gives a temporary path to write to; afterwards its content is at ``path``, or (after an error) nothing changed.

    Raises:
        OSError: It cannot be written (disk full, quota, rights); the message names ``path``, and no temporary file
            stays.
    """
    path = Path(path)
    part = part_name(path)
    try:
        yield part
        flush(part)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, f'cannot write {path}: {error.strerror or error}. What was there before is '
                      'unchanged') from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a small text file whole."""
    with written_whole(path) as part:
        part.write_text(text, encoding='utf-8')


def remove_parts(folder: Union[str, Path]) -> list[str]:
    """Remove temporary files that killed processes left in a folder; call it only while its lock is held."""
    gone = []
    for entry in Path(folder).iterdir() if Path(folder).is_dir() else ():
        if _PART.match(entry.name) or entry.name.endswith(('.pth.part', 'last_checkpoint.part')):
            entry.unlink(missing_ok=True)
            gone.append(entry.name)
    return gone
