"""Files that appear complete or not at all, whenever the process is killed."""
import os
import os.path as osp
import socket
from collections.abc import Iterable

import cv2
import numpy as np

_TAIL = '.tmp'


def _temporary(path: str) -> str:
    """A name beside ``path`` that no suffix of a dataset matches and that says who is writing."""
    folder, name = osp.split(path)
    return osp.join(folder, f'.{name}.{socket.gethostname()}-{os.getpid()}{_TAIL}')


def write_bytes(path: str, content: bytes) -> None:
    """Write a file in one step; the folder is made if needed."""
    os.makedirs(osp.dirname(path) or '.', exist_ok=True)
    temporary = _temporary(path)
    try:
        with open(temporary, 'wb') as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        if osp.exists(temporary):
            os.remove(temporary)
        raise


def write_label(path: str, label: np.ndarray) -> None:
    """Write uint8 ids (H, W) as a PNG in one step."""
    done, content = cv2.imencode('.png', np.ascontiguousarray(label))
    if not done:
        raise OSError(f'{path}: OpenCV cannot encode a label of shape {label.shape}, {label.dtype}')
    write_bytes(path, content.tobytes())


def write_list(path: str, names: Iterable[str]) -> int:
    """Write one name per line in one step; returns how many.  A file that has them already is not touched."""
    names = list(names)
    content = ''.join(f'{name}\n' for name in names).encode()
    if osp.isfile(path):
        with open(path, 'rb') as file:
            if file.read() == content:
                return len(names)
    write_bytes(path, content)
    return len(names)


def clear_leftovers(folders: Iterable[str]) -> int:
    """Remove temporary files that a killed process of this machine left in ``folders``; returns how many."""
    removed, host = 0, socket.gethostname()
    for folder in sorted(set(folders)):
        if not osp.isdir(folder):
            continue
        for entry in list(os.scandir(folder)):
            owner, _, process = entry.name[:-len(_TAIL)].rpartition('-')
            ours = entry.name.startswith('.') and entry.name.endswith(_TAIL) and owner.endswith(f'.{host}')
            if ours and process.isdigit() and not _alive(int(process)):
                os.remove(entry.path)
                removed += 1
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or a system that cannot tell
        pass
    return True
