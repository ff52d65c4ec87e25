"""The one way in which this package reads tensors from files: nothing in a file is ever called.

Two readers share their checks. *Foreign weights* (encoders, other people's models) may hold what
torch itself admits under ``weights_only``: tensors, numbers, text, lists and dicts. *Checkpoints of
runs* may besides hold log histories and small arrays as mmengine's hooks save them;
:mod:`mmseg_dg.utils.plain_arrays` reads those. See docs/security.md.
"""
import contextlib
import io
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional, Union

import torch

from mmseg_dg.utils.plain_arrays import restored, stand_ins
from mmseg_dg.utils.plain_values import histories_from_plain

#: What a checkpoint has that ``--resume`` can go on from.
RESUME_PARTS = ('meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers')
#: Held while torch's list of safe classes, which is global, is exchanged (:func:`_only_allowed`).
_LOCK = threading.RLock()
#: The bit of an archive's external attributes by which MS-DOS, and torch's reader, know folders.
_FOLDER = 0x10


class CheckpointError(ValueError):
    """A file cannot be read as weights or as a checkpoint; the message names it, the reason and
    what to do.
    """


def read_weights(path: Union[str, Path], map_location: Any = 'cpu') -> Any:
    """Read a file of foreign weights with what torch admits by itself.

    Args:
        path: A file written by ``torch.save``.
        map_location: As ``torch.load`` takes it.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: Damaged, or it needs more than tensors and plain values.
    """
    return _read(Path(path), map_location, allowed=[])


def read_checkpoint(path: Union[str, Path], map_location: Any = 'cpu') -> Any:
    """Read a checkpoint of a run, of today or written before 0.3: log histories come back as
    ``HistoryBuffer``.

    Args:
        path: A file written by a run, or any file of weights.
        map_location: As ``torch.load`` takes it.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: As :func:`read_weights`, or arrays whose type, shape and bytes contradict
            each other.
    """
    content = _read(Path(path), map_location, stand_ins())
    try:
        return histories_from_plain(restored(content))
    except (pickle.UnpicklingError, RecursionError) as error:
        raise CheckpointError(_refusal(str(path), error)) from error


def checkpoint_from_bytes(data: bytes, name: str, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint (:func:`read_checkpoint`) from an object store's bytes; ``name`` is for
    messages.
    """
    content = _load(io.BytesIO(data), name, map_location, stand_ins())
    try:
        return histories_from_plain(restored(content))
    except (pickle.UnpicklingError, RecursionError) as error:
        raise CheckpointError(_refusal(name, error)) from error


def check_complete(checkpoint: Any, name: str) -> None:
    """Refuse a checkpoint that lacks something a run goes on from; ``name`` is its file, for the
    message.

    Raises:
        CheckpointError: Parts are missing; the message names them.
    """
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(
            f'{name} holds {type(checkpoint).__name__}, not a checkpoint of a run')
    missing = [
        part for part in RESUME_PARTS if not isinstance(checkpoint.get(part), (Mapping, list))
    ]
    meta = checkpoint.get('meta')
    if 'meta' not in missing and not isinstance(meta, Mapping):  # a list, which other parts may be
        missing.append('meta')
    if isinstance(meta, Mapping):
        missing += [
            f'meta.{key}' for key in ('iter', 'epoch')
            if type(meta.get(key)) is not int or meta[key] < 0  # type(): a bool is no count
        ]
    if missing:
        raise CheckpointError(
            f'{name} has no {", ".join(missing)}: a run cannot go on from it exactly (best '
            'checkpoints and exported weights are written without). --resume-weights-only takes '
            'its weights, and its iteration where it is recorded, with a new optimizer; '
            'load_from=... in the config starts a new run from its weights')


def _read(path: Path, map_location: Any, allowed: list) -> Any:
    """The content of a file: of safetensors by its ending, else of ``torch.save``.

    Args:
        path: The file.
        map_location: As ``torch.load`` takes it.
        allowed: What torch may make besides its own list, as ``add_safe_globals`` takes it.

    Raises:
        FileNotFoundError: No such file.
        CheckpointError: It is empty, damaged or of another kind.
    """
    path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    if path.stat().st_size == 0:
        raise CheckpointError(f'{path}: not a checkpoint, it is empty (0 bytes): the disk was '
                              'full, or a copy was cut off')
    if path.suffix == '.safetensors':
        return _load_safetensors(path, map_location)
    with open(path, 'rb') as file:
        return _load(file, str(path), map_location, allowed)


def _load_safetensors(path: Path, map_location: Any) -> dict:
    """Tensors by name, from a format without code: a header of names and sizes, then numbers.

    A function or dict as ``map_location`` is passed over (tensors stay on the CPU): it maps from
    the device a tensor was on, which such a file does not record.
    """
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(f'{path} needs the library safetensors: pip install '
                              'safetensors') from error
    try:
        tensors = load_file(str(path))
    except Exception as error:  # noqa: BLE001  the library raises classes of its own
        raise CheckpointError(
            f'{path}: damaged, or no file of safetensors ({_first_line(error)})') from error
    if isinstance(map_location, (str, torch.device)):
        tensors = {name: tensor.to(map_location) for name, tensor in tensors.items()}
    return tensors


def _load(file: Any, name: str, map_location: Any, allowed: list) -> Any:
    """``torch.load(weights_only=True)`` of an open file, with the checksums tested first.

    Args:
        file: Seekable, binary.
        name: What messages call the file.
        map_location: As ``torch.load`` takes it.
        allowed: As for :func:`_read`.

    Raises:
        CheckpointError: Every failure, whatever torch raised.
    """
    damage = find_damage(file)
    if damage:
        raise CheckpointError(f'{name}: damaged, {damage}. Fetch or copy it again, or use another '
                              'checkpoint')
    file.seek(0)
    try:
        with _only_allowed(allowed):
            return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(name, error)) from error
    except Exception as error:  # noqa: BLE001  damaged files raise whatever their bytes lead to
        raise CheckpointError(
            f'{name}: not a checkpoint that PyTorch can read: damaged, or of '
            f'another kind ({type(error).__name__}: {_first_line(error)})') from error


def find_damage(file: Any) -> Optional[str]:
    """Test the checksums (CRC-32 of every record) that ``torch.save`` wrote into the archive.

    torch itself does not compare them when it loads.

    Args:
        file: Seekable, binary; a file that is no archive (torch's format before 1.6) has no
            checksums.

    Returns:
        What is wrong, None where nothing was found.
    """
    file.seek(0)
    if file.read(4)[:2] != b'PK':  # how an archive begins
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            for record in archive.infolist():
                # torch's reader takes a record marked as a folder for read and hands over memory
                # nobody wrote
                if record.is_dir() or record.external_attr & _FOLDER:
                    return f'its record {record.filename} is marked as a folder'
            bad = archive.testzip()
    except Exception as error:  # noqa: BLE001  zipfile raises struct.error, NotImplementedError and more
        return f'its archive is cut off or overwritten ({_first_line(error)})'
    return f'the checksum of its record {bad} differs' if bad else None


@contextlib.contextmanager
def _only_allowed(allowed: list) -> Iterator[None]:
    """Within it torch admits its own list and ``allowed``, whatever other packages have added."""
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals
    with _LOCK:  # the list is global: one thread at a time
        before = get_safe_globals()
        clear_safe_globals()
        add_safe_globals([item for item in before if _is_torchs_own(item)] + allowed)
        try:
            yield
        finally:
            clear_safe_globals()
            add_safe_globals(before)


def _is_torchs_own(item: Any) -> bool:
    """Whether an entry of torch's list of safe classes is one of torch itself.

    ``(class, name in the file)`` pairs are none: only other packages register classes so.
    """
    return not isinstance(item, tuple) and str(getattr(item, '__module__', '')).startswith('torch.')


def _refusal(name: str, error: BaseException) -> str:
    """Message for a file ``name`` that torch or a stand-in of ``plain_arrays`` refused to unpickle.

    It has the reason in our words: torch's own text proposes to unpickle the file fully.
    """
    text = str(error)
    ours = re.search(r'refused: (.+)', text)  # how the messages of plain_arrays begin
    named = re.search(r'GLOBAL (\S+)', text)  # the class or function, in torch's message
    if 'Unsupported operand' in text:  # torch met a byte that is no pickle instruction it knows
        return f'{name}: not a checkpoint that PyTorch can read: damaged, or of another kind'
    if isinstance(error, RecursionError):
        reason = 'it is nested too deeply'
    elif ours:
        reason = ours.group(1)
    else:
        reason = f'it needs {named.group(1)}' if named else 'it asks for calls'
    return (f'{name}: refused: {reason}, which is more than tensors and plain values and might run '
            'code that somebody put there. If you wrote the file yourself, save '
            'dict(state_dict=...) of tensors alone with the program that made it '
            '(docs/security.md)')


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters.

    Text of torch that speaks of ``weights_only`` is replaced, since it advises to switch that off.
    """
    line = (str(error).strip().splitlines() or [''])[0][:200]
    if 'TorchScript' in line:
        return 'a TorchScript archive; save its state_dict() with torch.save'
    return line if 'weights_only' not in line else 'torch refuses to read it as plain values'
