"""What is given to ``mmseg_dg.adapt`` and its siblings, checked before a file is read."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mmseg_dg.utils.work_dir import holds_checkpoints

from .loading import RUN

#: What describes one set of images.
_KEYS = ('images', 'masks', 'list')


def checked_images(name: str, given: Any, masks: bool) -> dict[str, str]:
    """One set of images after a check, its folders made absolute.

    Args:
        name: Of the argument, for messages.
        given: ``dict(images=FOLDER, masks=FOLDER, list=FILE)``; the last is optional.
        masks: Whether it needs masks; without, masks in it are left out.

    Raises:
        ValueError: Something else; FileNotFoundError: a folder or list that is not there.
    """
    # how the argument should look, for messages
    wanted = f"{name}=dict(images=FOLDER{', masks=FOLDER' if masks else ''})"
    if not isinstance(given, Mapping):
        raise ValueError(f'{name}={given!r}: give {wanted}')
    unknown = set(given) - set(_KEYS)
    if unknown or 'images' not in given or (masks and 'masks' not in given):
        fault = 'images and masks are needed' if masks else 'images are needed'
        fault = f'unknown {sorted(unknown)}' if unknown else fault
        raise ValueError(f'{name}: {fault}; give {wanted}, and list=FILE to select among them')
    result = {}
    for key in _KEYS if masks else ('images', 'list'):
        if given.get(key) is None:
            continue
        if not isinstance(given[key], (str, Path)):
            raise ValueError(f'{name}: {key}={given[key]!r} must be a path')
        path = Path(given[key]).expanduser().absolute()
        if not (path.is_file() if key == 'list' else path.is_dir()):
            raise FileNotFoundError(
                f'{name}: there is no {"file" if key == "list" else "folder"} {path} ({key})')
        result[key] = str(path)
    return result


def checked_classes(classes: Any, palette: Any) -> tuple[tuple[str, ...], Optional[list]]:
    """Names and colors of the classes, after a check.

    Args:
        classes: Names in the order of the ids; or a text file with one name per line, perhaps with
            its color.
        palette: (red, green, blue) of each class; None: those of the text file, if it has any.

    Returns:
        The names, and ``[red, green, blue]`` of each or None.

    Raises:
        ValueError: Fewer than 2 or more than 255 names, one twice, or another number of colors.
    """
    if isinstance(classes, (str, Path)):
        if not Path(classes).is_file():
            raise ValueError(
                f'classes={str(classes)!r}: a list of names, or a text file with one name per line')
        from mmseg_dg.datasets.class_names import read_classes
        classes, colors = read_classes(str(classes))
        palette = colors if palette is None else palette
    names = tuple(classes) if isinstance(classes, Sequence) else ()
    if not 2 <= len(names) <= 255 or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f'classes={classes!r}: 2 to 255 names, in the order of the ids in the masks')
    if len(set(names)) < len(names):
        raise ValueError(f'classes={list(names)}: a name occurs twice')
    if palette is not None and (not isinstance(palette, Sequence) or len(palette) != len(names)
                                or any(len(color) != 3 for color in palette)):
        raise ValueError(
            f'palette: {len(names)} classes need as many colors (red, green, blue), got {palette!r}'
        )
    return names, None if palette is None else [[int(part) for part in color] for color in palette]


def checked_numbers(**numbers: Any) -> None:
    """Refuse arguments that are neither None nor whole numbers of at least 1.

    Raises:
        ValueError: Something else.
    """
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)
                                  or value < 1):
            raise ValueError(f'{name}={value!r} must be a whole number of at least 1')


def checked_mapping(name: str, given: Any, key: type, example: str) -> dict:
    """An argument that is a dict, after a check: its keys have the type ``key``; None is an empty
    dict. ``example`` shows in the message how it is written.

    Raises:
        ValueError: Something else.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(type(one) is key for one in given):
        raise ValueError(f'{name}={given!r}: give a dict as {example}')
    return dict(given)


def crop_pair(size: Any) -> tuple[int, int]:
    """(height, width) of a crop, from a pair or one number.

    Raises:
        ValueError: Something else, or less than 32 pixels.
    """
    pair = (size, size) if isinstance(size, int) else ()  # (): refused below by its length
    if isinstance(size, (tuple, list)):
        pair = tuple(size)
    # bool is a kind of int in Python, and no size
    if len(pair) != 2 or any(
            isinstance(side, bool) or not isinstance(side, int) or side < 32 for side in pair):
        raise ValueError(
            f'crop_size={size!r} must be (height, width) in pixels, at least 32 each, or one number'
        )
    return pair


def refuse_run(out: Path, resume: Any, overwrite: Any) -> None:
    """Refuse a folder whose run would be written over by accident.

    Args:
        out: Folder of the run; its checkpoints are in ``out/run``.
        resume: Whether the run there is to go on.
        overwrite: Whether it is to be replaced.

    Raises:
        ValueError: ``resume`` and ``overwrite`` are both True, or one is no boolean.
        FileExistsError: A run lies there and neither is True, or ``out`` is a file.
    """
    for name, value in dict(resume=resume, overwrite=overwrite).items():
        if not isinstance(value, bool):
            raise ValueError(f'{name}={value!r} must be True or False')
    if resume and overwrite:
        raise ValueError('overwrite=True begins again and resume=True goes on: give one of them')
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'out={out} is a file: name a folder')
    if holds_checkpoints(out / RUN) and not (resume or overwrite):
        raise FileExistsError(
            f'{out / RUN} holds the checkpoints of a run: resume=True (--resume) goes on with '
            'it, overwrite=True (--overwrite) begins again; or name another folder')
