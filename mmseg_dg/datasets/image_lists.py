"""Lists of image names, and which files of a folder they name."""
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Optional, Union

import mmengine

from .checks import is_local, missing_message
from .split_protocols import missing_list_hint

#: Endings of images in folders whose dataset does not say which.
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.PNG', '.JPG', '.JPEG')


def read_list(path: str, owner: str, backend_args: Optional[dict] = None, allow_empty: bool = False) -> list[str]:
    """Names in a split list: one image stem per line, relative to the image folder; empty lines are skipped.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It has no names (unless ``allow_empty``), or some twice.
    """
    if is_local(path, backend_args) and not osp.isfile(path):
        raise FileNotFoundError(f'{owner}: no list file {path!r}; correct ann_file or write the list (one image stem '
                                f'per line){missing_list_hint(path, owner)}')
    names = [line.strip() for line in mmengine.list_from_file(path, backend_args=backend_args) if line.strip()]
    if not names and not allow_empty:
        raise ValueError(f'{owner}: the list {path!r} is empty')
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})[:5] if len(names) < 5000 else '(many)'
        raise ValueError(f'{owner}: the list {path!r} names images twice: {twice}')
    return names


def stem_of(name: str, suffix: Union[str, Sequence[str]]) -> str:
    """``name`` without the ending it has, the longest one of several."""
    endings = [suffix] if isinstance(suffix, str) else sorted(suffix, key=len, reverse=True)
    return next((name[:-len(end)] for end in endings if end and name.endswith(end)), name)


def names_of(files: Sequence[str], suffix: Union[str, Sequence[str]]) -> dict[str, str]:
    """{what a list may call it: file}: each file's name without its ending, and with it."""
    known = {stem_of(name, suffix): name for name in files}
    known.update({name: name for name in files})
    return known


def listed(known: Mapping[str, str], ann_file: str, suffix: Union[str, Sequence[str]], owner: str,
           backend_args: Optional[dict] = None) -> list[str]:
    """The files a list names, in its order.

    Args:
        known: {what the list may call it: file} of the files that are there (:func:`names_of`).
        ann_file: The list.
        suffix: Ending of the files, or several; for the message.
        owner: Who asks, for messages.
        backend_args: Of the list's file.

    Raises:
        FileNotFoundError: No such list, or images it names are not there.
        ValueError: The list is empty, or names an image twice.
    """
    names = read_list(ann_file, owner, backend_args)
    missing = [name for name in names if name not in known]
    if missing:
        raise FileNotFoundError(missing_message(owner, 'listed images are', missing, len(names),
                                                f'Correct {ann_file!r} or img_suffix={suffix}'))
    return [known[name] for name in names]
