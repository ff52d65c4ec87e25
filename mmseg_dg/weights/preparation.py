"""Checks fetched weight files and converts them to the layout that configs expect, for
tools/prepare_weights.py.
"""
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import torch
from torch import nn

from mmseg_dg.utils.checkpoint_reader import CheckpointError, read_weights
from mmseg_dg.utils.finite_state import nonfinite_summary, refuse_nonfinite

from .comparison import build_on_meta, compare
from .files import Problem, read_state_dict, save_atomically, sha256_of, weights_table
from .hybrid_vit import convert_hybrid_vit
from .official_names import from_official_backbone
from .vit_names import to_dinov2, to_tinyvit

#: Renaming of a fetched file, by layout; the others are told from their keys.
_RENAMING = {'dinov2': to_dinov2, 'tinyvit': to_tinyvit}


def find_source(entry: dict, folder: Path) -> Optional[Path]:
    """The file to convert in a folder: one with the final name, or else the first that fits the
    entry's ``candidates`` (shell patterns); None when nothing is there.

    Args:
        entry: One of :func:`~mmseg_dg.weights.files.weights_table`.
        folder: Where prepared and fetched files lie.
    """
    target = folder / Path(entry['file']).name
    if target.is_file():
        return target
    found = sorted(path for pattern in entry['candidates'] for path in folder.glob(pattern))
    return found[0] if found else None


def checksum_note(path: Path, known: Optional[list]) -> tuple[str, bool]:
    """Compare a file's SHA-256 with the known ones, else with the beginning that its name may have
    (``resnet50-0676ba61.pth``).

    Args:
        path: The fetched file.
        known: Beginnings of the SHA-256 it may have; None where none is known.

    Returns:
        What to say, and whether to refuse the file: only one that is not among the known ones. A
        name that says otherwise is no reason: files get renamed.
    """
    digest = sha256_of(path)
    short = digest[:8]  # as many digits as torchvision puts into names
    if known and any(digest.startswith(beginning) for beginning in known):
        return f'SHA-256 {short}... is the known one', False
    if known:
        begin = ' and '.join(one[:8] for one in known)
        return (f'SHA-256 begins with {short}, known are {begin}: another release, '
                'or damaged'), True
    named = re.search(r'-([0-9a-f]{8})\.\w+$', path.name)
    if named and named.group(1) != short:
        return (f'SHA-256 begins with {short}, the file name says {named.group(1)}: renamed, or '
                'damaged'), False
    return f'SHA-256 {short}...' + (' as in the file name' if named else ' (no reference '
                                    'known)'), False


def to_our_layout(state: dict, reference: nn.Module) -> dict:
    """Rename and drop until the keys are those of ``reference``.

    Args:
        state: Keys of the encoder alone or below ``backbone.``; official or mmseg names of Mix
            Transformers.
        reference: The encoder, without memory for weights.

    Returns:
        The tensors in the order of ``reference``; others, such as a classifier, are dropped.

    Raises:
        Problem: Tensors of the encoder are missing or have another shape.
    """
    if any(key.startswith('backbone.') for key in state):
        state = {
            key[len('backbone.'):]: value
            for key, value in state.items() if key.startswith('backbone.')
        }
    try:
        state = from_official_backbone(state)
    except ValueError as error:
        raise Problem(str(error)) from error
    # a deep stem, which some files name otherwise
    if 'stem' in dict(
            reference.named_children()) and not any(key.startswith('stem.') for key in state):
        state = deep_stem_names(state)
    share = compare(reference, state)
    if share.missing:
        listed = ', '.join(share.missing[:5])
        raise Problem(f'{len(share.missing)} of {share.total} tensors of the encoder are missing '
                      f'or have another shape ({listed}, ...); the file has keys such as '
                      f'{", ".join(list(state)[:3])}')
    return {key: state[key] for key in reference.state_dict() if key in state}


def deep_stem_names(state: dict) -> dict:
    """Rename the first three convolutions of a deep-stem ResNet to those of mmseg's ``ResNetV1c``
    (``stem.0`` ...).

    Two spellings are known: ``conv1, bn1, conv2, bn2, conv3, bn3``, and ``conv1.0, conv1.1,
    conv1.3, conv1.4, conv1.6, bn1``. Anything else comes back as it is.
    """
    # in ``stem`` 0, 3 and 6 are convolutions, 1, 4 and 7 their norms, the others ReLU
    if 'conv1.0.weight' in state:
        names = {**{f'conv1.{i}.': f'stem.{i}.' for i in (0, 1, 3, 4, 6)}, 'bn1.': 'stem.7.'}
    elif 'conv3.weight' in state:
        names = {
            'conv1.': 'stem.0.', 'bn1.': 'stem.1.', 'conv2.': 'stem.3.', 'bn2.': 'stem.4.',
            'conv3.': 'stem.6.', 'bn3.': 'stem.7.'
        }
    else:
        return dict(state)

    def renamed(key: str) -> str:
        """The new name; names outside the stem stay."""
        old = next((old for old in names if key.startswith(old)), None)
        return key if old is None else names[old] + key[len(old):]

    return {renamed(key): value for key, value in state.items()}


def _converted(source: Path, entry: dict) -> dict:
    """The encoder's tensors of a fetched file under this package's names; ``entry`` is that of the
    table of weights. Problem for a file that does not fit.
    """
    if entry['layout'] != 'vit_hybrid':  # which may be an .npz of arrays: it has a reader below
        try:
            state = read_state_dict(source, foreign=True)
            refuse_nonfinite(state, str(source))
            state = _RENAMING.get(entry['layout'], dict)(state)
        except (CheckpointError, ValueError) as error:
            raise Problem(str(error)) from error
        return to_our_layout(state, build_on_meta(dict(entry['backbone'], init_cfg=None)))
    result = convert_hybrid_vit(source)
    if result.settings:
        raise Problem(f'{source} is another size of this encoder: HybridViT with {result.settings}')
    return result.state


def is_ready(path: Path, entry: dict) -> bool:
    """Whether a file already is what configs expect: a plain state dict of finite numbers that
    fills the encoder, nothing else in it.

    An entry without ``backbone`` is used as it was fetched: any file is ready.

    Raises:
        CheckpointError: It cannot be read.
    """
    if entry['backbone'] is None:
        return path.is_file()
    state = read_weights(path)
    if not isinstance(state, Mapping) or not all(
            isinstance(value, torch.Tensor) for value in state.values()):
        return False
    share = compare(build_on_meta(dict(entry['backbone'], init_cfg=None)), state)
    return not share.missing and not share.unexpected and not nonfinite_summary(state)


def prepare(name: str, folder: Path, source: Optional[Path] = None,
            accept_checksum: bool = False) -> list[str]:
    """Check and convert one file of the table into ``folder``.

    Several processes may prepare one file at once: one does it, the others wait and find it ready.
    What was fetched is never overwritten.

    Args:
        name: A name of the table.
        folder: Where prepared files lie, ``pretrained`` by default in the tool.
        source: The fetched file; by default looked for in ``folder``.
        accept_checksum: Use a file whose SHA-256 is not one of the known ones.

    Returns:
        What was done, line by line.

    Raises:
        Problem: Unknown name, no file, wrong checksum, or a file that does not fit.
    """
    table = weights_table()
    if name not in table:
        raise Problem(f'there is no {name}; known are {", ".join(table)}')
    if folder.is_dir():
        with only_one(folder):  # locks the folder, so it must exist; a new one holds no file yet
            return _prepare(table[name], folder, source, accept_checksum)
    return _prepare(table[name], folder, source, accept_checksum)


def _prepare(entry: dict, folder: Path, source: Optional[Path], accept_checksum: bool) -> list[str]:
    """Prepare the weights of one ``entry`` of the table; the other arguments, the lines it returns
    and the errors are those of :func:`prepare`, which calls it inside :func:`only_one`.
    """
    target = folder / Path(entry['file']).name
    if source is None:
        source = find_source(entry, folder)
    if source is None or not source.is_file():
        looked_at = source or f'{target} ({" or ".join([target.name, *entry["candidates"]])})'
        # some entries have an address, from which the tool can fetch the file
        here = ', or let --download fetch it' if entry.get('url') else ''
        raise Problem(f'no file at {looked_at}. Fetch it: {entry["source"]}{here}')
    try:
        if source == target and is_ready(target, entry):
            return [f'{target} is ready']
    except CheckpointError as error:
        raise Problem(str(error)) from error
    note, refuse = checksum_note(source, entry['sha256'])
    if refuse and not accept_checksum:
        raise Problem(f'{source}: {note}. Use it all the same with --accept-checksum')
    if entry['backbone'] is None:
        raise Problem(f'{source} needs no conversion: put it at {target}')
    state = _converted(source, entry)
    lines = [f'{source}: {note}']
    # where the user's download has the name that the result gets: it is kept under another name, as
    # a copy, so that a process that reads the old name meanwhile finds a file there
    if target.is_file() and not is_ready(target, entry):
        lines.append(f'kept as {keep_original(target)}')
    save_atomically(state, target)
    return [*lines, f'{target} is ready: {len(state)} tensors']


def keep_original(path: Path) -> Path:
    """Copy a file to ``NAME_fetched.pth``, or the first of ``NAME_fetched_2.pth``, ... that is
    free.

    Returns:
        The path of the copy.
    """
    number = 1
    while True:
        tail = '_fetched' if number == 1 else f'_fetched_{number}'
        kept = path.with_name(f'{path.stem}{tail}{path.suffix}')
        try:
            with open(kept, 'xb') as file, open(path, 'rb') as original:
                shutil.copyfileobj(original, file)
            return kept
        except FileExistsError:
            number += 1


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Inside the block, this process is the only one of this machine that is inside it for the same
    folder; others wait for their turn.

    Where the system or the file system has no locks, nothing is locked.

    Args:
        folder: It must exist; nothing is written into it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    handle = os.open(folder, os.O_RDONLY)  # the folder itself is locked: no file is left behind
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)  # gives the lock free


def table_rows(folder: Path) -> list[tuple[str, str, str]]:
    """``(name, state, what to do)`` of every known file: the rows that the tool lists.

    The state is ``'missing'``, ``'ready'``, ``'to convert'`` or ``'unusable'``.
    """
    rows = []
    for name, entry in weights_table().items():
        target = folder / Path(entry['file']).name
        source = find_source(entry, folder)
        if source is None:
            rows.append((name, 'missing', f'fetch {entry["source"]}'))
        else:
            rows.append((name, *_state_of(name, entry, source, target)))
    return rows


def _state_of(name: str, entry: dict, source: Path, target: Path) -> tuple[str, str]:
    """``(state, what to do)`` of a file that is there (:func:`table_rows`).

    Args:
        name: Of the table's entry.
        entry: The entry.
        source: The file that was found (:func:`find_source`).
        target: Where the prepared file belongs.
    """
    try:
        if source == target and is_ready(target, entry):
            return 'ready', str(target)
        # read to see that it can be; a vit_hybrid may be an .npz, which this reader does not take
        if source != target and entry['layout'] != 'vit_hybrid':
            read_state_dict(source, foreign=True)
    except (CheckpointError, OSError) as error:  # a bad file does not end the list
        return 'unusable', str(error).splitlines()[0]
    return 'to convert', f'prepare_weights {name}   (from {source})'
