"""Lists of image names, and which files of a folder they name."""
import codecs
import os.path as osp
import re
from collections.abc import Mapping, Sequence
from typing import Optional, Union

import mmengine.fileio as fileio

from .folder_scan import is_local
from .messages import missing_message
from .splits.protocols import missing_list_hint

#: Endings of images in folders whose dataset does not say which.
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.PNG', '.JPG', '.JPEG')


def read_lines(path: str, owner: str, backend_args: Optional[dict] = None,
               what: str = 'image name') -> list[str]:
    """Lines of a text file without blanks at either end, whatever editor wrote it; empty ones are
    kept.

    A byte order mark (Windows editors) is not part of the first name; UTF-16 (PowerShell's ``>``)
    is read.

    Args:
        path: The file.
        owner: Who asks, for the message.
        backend_args: mmengine's file backend options.
        what: What a line holds, for the message.

    Raises:
        ValueError: Not a text in UTF-8 or UTF-16.
    """
    content = fileio.get(path, backend_args=backend_args)
    # both codings take the byte order mark away
    coding = 'utf-16' if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else 'utf-8-sig'
    try:
        text = content.decode(coding)
    except UnicodeDecodeError as error:
        raise ValueError(f'{owner}: the list {path!r} is no text in UTF-8 ({error}); save it as '
                         f'UTF-8, one {what} per line') from error
    return [line.strip() for line in text.splitlines()]


def refuse_columns(names: Sequence[str], missing: Sequence[str], path: str, owner: str) -> None:
    """Refuse a list of two columns (image and label) where one is read.

    Names may contain blanks and commas, so a line with some is refused only where it names no image
    and most other lines are like it.

    Args:
        names: All names of the list.
        missing: Those of them that are no images.
        path: The list, for the message.
        owner: For the message.

    Raises:
        ValueError: Most lines, and all missing ones, consist of several columns.
    """
    # names that are no images, split where columns would be; all(): none of the columns is empty
    columns = [re.split(r'[\s,;]+', name) for name in missing]
    several = [parts for parts in columns if len(parts) > 1 and all(parts)]
    if missing and len(several) == len(missing) and len(several) * 2 > len(names):
        raise ValueError(
            f'{owner}: the list {path!r} has {len(several[0])} columns ({missing[0]!r}), but one '
            'image name per line is read: keep the first column, the label has the name of its '
            "image below data_prefix['seg_map_path']. Split lists with two columns are imported by "
            'tools/make_split.py --import-from FOLDER')


def read_list(path: str, owner: str, backend_args: Optional[dict] = None,
              allow_empty: bool = False) -> list[str]:
    """Names in a split list: one image stem per line, relative to the image folder; empty lines are
    skipped.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It has no names (unless ``allow_empty``), or some twice.
    """
    if is_local(path, backend_args) and not osp.isfile(path):
        raise FileNotFoundError(f'{owner}: no list file {path!r}; correct ann_file or write the '
                                f'list (one image stem per line){missing_list_hint(path, owner)}')
    names = [line for line in read_lines(path, owner, backend_args) if line]
    if not names and not allow_empty:
        raise ValueError(f'{owner}: the list {path!r} is empty')
    if len(set(names)) < len(names):
        twice: object = '(many)'
        if len(names) < 5000:  # counting takes quadratic time
            twice = sorted({name for name in names if names.count(name) > 1})[:5]
        raise ValueError(f'{owner}: the list {path!r} names images twice: {twice}')
    return names


def stem_of(name: str, suffix: Union[str, Sequence[str]]) -> str:
    """``name`` without the ending (of ``suffix``) that it has, the longest one of several; as it is
    where it has none of them.
    """
    endings = [suffix] if isinstance(suffix, str) else sorted(suffix, key=len, reverse=True)
    return next((name[:-len(end)] for end in endings if end and name.endswith(end)), name)


def names_of(files: Sequence[str], suffix: Union[str, Sequence[str]]) -> dict[str, str]:
    """{what a list may call it: file}: each file's name without its ending, and with it."""
    by_name = {stem_of(name, suffix): name for name in files}
    by_name.update({name: name for name in files})  # the full name counts where both occur
    return by_name


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
    # lists written on Windows; on Linux a backslash may be part of a name
    names = [name if name in known else name.replace('\\', '/') for name in names]
    missing = [name for name in names if name not in known]
    if missing:
        refuse_columns(names, missing, ann_file, owner)
        raise FileNotFoundError(
            missing_message(owner, 'listed images are', missing, len(names),
                            f'Correct {ann_file!r} or img_suffix={suffix}'))
    return [known[name] for name in names]
