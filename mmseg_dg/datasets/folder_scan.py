"""What lies in a folder of images: the files that are meant, and those that are not, with the
reason.
"""
import os
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

import mmengine.fileio as fileio
from mmengine.fileio.backends import LocalBackend

#: Endings of pictures, as far as anyone may want to train on them.
PICTURE_SUFFIXES = tuple(case for end in ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.webp',
                                          '.ppm', '.pgm', '.jp2') for case in (end, end.upper()))

OTHER_ENDING = 'other ending'
BROKEN_LINK = 'broken link'
NAMED_LIKE_IMAGE = 'folder named like an image'
HIDDEN = 'hidden'
_NAMED = 3  # file names that :func:`left_out_text` gives per reason

Suffix = Union[str, Sequence[str], None]


class FolderScan(NamedTuple):
    """What a folder holds.

    Attributes:
        files: Paths that are meant, relative to the folder, sorted.
        left_out: {reason: paths relative to the folder, sorted}; the reasons are the constants of
            this module.
    """
    files: list[str]
    left_out: dict[str, list[str]]


def is_local(path: str, backend_args: Optional[dict] = None) -> bool:
    """Whether mmengine reads ``path`` from an ordinary file system."""
    return isinstance(fileio.get_file_backend(path, backend_args=backend_args), LocalBackend)


def scan_folder(folder: str, suffix: Suffix, backend_args: Optional[dict] = None) -> FolderScan:
    """Files below a folder, at any depth, that end with ``suffix``, and what else is there.

    Left out are files with another ending, links that lead nowhere, folders that are named like an
    image (with all that is in them), and what is hidden (its name, or that of a folder it is in,
    begins with a dot: the copies of ``.ipynb_checkpoints``, macOS' ``._name.png``).

    Args:
        folder: Where to look; links to folders are followed.
        suffix: An ending, or several; None: any.
        backend_args: mmengine's file backend; in other places than a local file system only endings
            are told apart.

    Returns:
        FolderScan: Paths relative to the folder, sorted: the files that are meant, and by reason
            the others.
    """
    ends: Optional[tuple] = None
    if suffix is not None:
        ends = (suffix, ) if isinstance(suffix, str) else tuple(suffix)
    files: list[str] = []
    left_out: dict[str, list[str]] = {}
    if not is_local(folder, backend_args):  # object stores have neither links nor real folders
        for name in fileio.list_dir_or_file(folder, list_dir=False, recursive=True,
                                            backend_args=backend_args):
            _place(name, ends, files, left_out)
    else:
        _walk(folder, '', ends, files, left_out, (osp.realpath(folder), ))
    return FolderScan(sorted(files), {reason: sorted(names) for reason, names in left_out.items()})


def _place(name: str, ends: Optional[tuple], files: list[str], left_out: dict[str,
                                                                              list[str]]) -> None:
    """Append a path (relative, with ``/``) to ``files``, or to ``left_out`` under its reason, as
    its name alone tells; both are changed in place.
    """
    hidden = any(part.startswith('.') for part in name.split('/'))
    if ends is not None and not name.endswith(ends):
        if not hidden:  # a hidden file of another kind is not worth a word
            left_out.setdefault(OTHER_ENDING, []).append(name)
    elif hidden:
        left_out.setdefault(HIDDEN, []).append(name)
    else:
        files.append(name)


def _walk(folder: str, below: str, ends: Optional[tuple], files: list[str],
          left_out: dict[str, list[str]], above: tuple[str, ...]) -> None:
    """Sort everything in a folder and those below it into ``files`` and ``left_out``.

    Args:
        folder: The folder.
        below: Its path relative to where the walk began, with a ``/`` at its end, or '' there:
            what the names begin with.
        ends: Endings that are meant; None: any.
        files: Gets the files that are meant.
        left_out: Gets the others, by reason.
        above: Real paths of the folders this one was reached through, from where the walk began,
            and its own at the end: a link to one of them is not followed, it would lead in a
            circle.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            name = below + entry.name
            if entry.is_dir():
                # hidden folders are walked: their files are then listed as hidden, one by one
                if ends is not None and entry.name.endswith(
                        ends) and not entry.name.startswith('.'):
                    left_out.setdefault(NAMED_LIKE_IMAGE, []).append(name)
                    continue
                # below a folder without links, a folder that is no link lies where its name says
                place = (osp.realpath(entry.path) if entry.is_symlink() else osp.join(
                    above[-1], entry.name))
                if place not in above:
                    _walk(entry.path, name + '/', ends, files, left_out, (*above, place))
            elif entry.is_file():
                _place(name, ends, files, left_out)
            # neither folder nor file: a link whose target does not exist
            elif ends is None or entry.name.endswith(ends):
                left_out.setdefault(BROKEN_LINK, []).append(name)


def endings(names: Sequence[str]) -> str:
    """``5 *.tif, 1 without an ending``: how many files have which of the five most frequent
    endings, in this order.
    """
    counts = Counter('*' + osp.splitext(name)[1] if osp.splitext(name)[1] else 'without an ending'
                     for name in names)
    return ', '.join(f'{count} {end}' for end, count in counts.most_common(5))


def left_out_text(left_out: dict[str, list[str]]) -> str:
    """``5 with another ending (5 *.tif), 1 broken link (a.png)``; '' for nothing.

    Args:
        left_out: {reason: paths}. Reasons of others than this module are written as they are.
    """
    parts = []
    for reason, names in left_out.items():
        if reason == OTHER_ENDING:
            parts.append(f'{len(names)} with another ending ({endings(names)})')
        else:
            named = ', '.join(names[:_NAMED]) + (', ...' if len(names) > _NAMED else '')
            plural = 's' if len(names) > 1 and reason != HIDDEN else ''  # '2 hidden', no noun
            parts.append(f'{len(names)} {reason}{plural} ({named})')
    return ', '.join(parts)
