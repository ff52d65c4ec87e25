"""Files that appear complete or not at all, whenever the process is killed.

Shapes: H x W pixels.
"""
import os
import os.path as osp
from collections.abc import Iterable

import cv2
import numpy as np

from mmseg_dg.utils.atomic_files import written_whole


def write_bytes(path: str, content: bytes) -> None:
    """Write a file in one step; the folder is made if needed."""
    os.makedirs(osp.dirname(path) or '.', exist_ok=True)
    # not waiting for the disk: after a crash of the machine the file can be made again
    with written_whole(path, durable=False) as part:
        part.write_bytes(content)


def write_label(path: str, label: np.ndarray) -> None:
    """Write uint8 ids (H, W) as a PNG in one step."""
    done, content = cv2.imencode('.png', np.ascontiguousarray(label))
    if not done:
        raise OSError(f'{path}: OpenCV cannot encode a label of shape {label.shape}, {label.dtype}')
    write_bytes(path, content.tobytes())


def write_list(path: str, names: Iterable[str]) -> int:
    """Write one name per line in one step; returns how many. A file that has them already is not
    touched.
    """
    names = list(names)
    content = ''.join(f'{name}\n' for name in names).encode()
    if osp.isfile(path):
        with open(path, 'rb') as file:
            if file.read() == content:
                return len(names)
    write_bytes(path, content)
    return len(names)
