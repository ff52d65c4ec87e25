"""The rows of the attack that read files: hostile pickles, addresses, damaged bytes, lying sizes, huge pictures.

Every file is read in a process of its own, which must end by an error that names the file, or with the right content.
A row is a generator: for each of ``trials`` it yields what was wrong, '' where nothing was.
"""
import io
import json
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
from _attack_rig import Rig
from mmengine.logging import HistoryBuffer


class Call:
    """An object that pickles as a call: whoever unpickles the file calls ``function(*args)``, and gives
    what that returns ``state``.
    """

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple:
        return self.call


def _alone(read: Callable[[], Any], name: str, seconds: int = 60) -> str:
    """Call ``read`` in a process of its own; '' if it does well, else what is wrong.

    It does well when it returns '' or None, or raises a ValueError or OSError with ``name`` (of the
    file) in the message. A process that crashes, or takes more than ``seconds``, does not.
    """
    inner, outer = os.pipe()
    process = os.fork()
    if not process:  # the new process, which answers through the pipe
        os.close(inner)
        import signal
        signal.alarm(seconds)
        try:
            answer = str(read() or '')
        except (ValueError, OSError) as error:
            good = name in str(error) and 'weights_only=False' not in str(error)
            answer = '' if good else f'{type(error).__name__} that does not help: {str(error)[:200]}'
        except BaseException as error:  # noqa: BLE001
            answer = f'{type(error).__name__}: {str(error)[:200]}'
        os.write(outer, answer.encode()[:4000])
        os._exit(0)
    os.close(outer)
    with os.fdopen(inner, 'rb') as pipe:
        answer = pipe.read().decode(errors='replace')
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return answer if status == 0 else f'the process ended with {status}'


def _attacks(rng: random.Random, trace: Path) -> Any:
    """One object whose unpickling calls something, or makes an array with a type, shape or bytes of its choice."""
    new = np.zeros(0).__reduce__()[0]  # numpy's _reconstruct
    kind = rng.choice(['O8', 'O8', 'V8', 'f8', 'S8', 'M8', 'U4'])
    # the state of a pickled dtype: version, byte order, subarray, names, fields, size, alignment, flags
    dtype = Call(np.dtype, kind, False, True, state=(
        3, '|', None, *rng.choice([(None, None), (('a', ), {'a': (np.dtype('O'), 0)})]), 8, rng.choice([1, 8]), 63))
    raw = rng.randbytes(rng.choice([0, 8, 16, 64]))
    shape = rng.choice([(), (1, ), (2, ), (8, ), (2**40, ), (-1, ), (2**62, 4)])
    history = dict(_log_history=[1], _count_history=[1], max_length=9, statistics_methods=dict(mean=rng.choice([
        os.system, 'mean', None])))
    return rng.choice([
        Call(os.system, f'touch {trace}'), Call(eval, f'open({str(trace)!r}, "w")'), Call(open, str(trace), 'w'),
        Call(getattr, np.ndarray, 'tofile'), Call(getattr, HistoryBuffer, 'register_statistics'),
        Call(np.load, str(trace), None, True), Call(np.ndarray, shape, dtype), Call(torch.load, str(trace)),
        Call(new, np.ndarray, (0, ), b'b', state=(1, shape, dtype, False, raw)), Call(HistoryBuffer, state=history),
        Call(new, np.memmap, (0, ), b'b', state=(1, (1, ), dtype, False, raw))])


def hostile_files(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """Pickles that call or choose memory, through every reader of the package."""
    from mmengine.runner import CheckpointLoader

    from mmseg_dg.utils.checkpoint_reader import read_checkpoint, read_weights
    from mmseg_dg.weights.files import Problem
    from mmseg_dg.weights.official_checkpoints import read_tensors
    from mmseg_dg.weights.preparation import prepare
    path, trace = rig.folder / 'hostile.pth', rig.folder / 'ran'  # code that ran leaves ``trace``

    def converter() -> None:
        """The reader of the converters, whose callers add the file's name."""
        try:
            read_tensors(path)
        except Problem as problem:
            raise ValueError(f'{path}: {problem}') from problem

    def preparation() -> None:
        """The reader of prepare_weights."""
        try:
            prepare('mit_b0', rig.folder, path, accept_checksum=True)
        except Problem as problem:
            raise ValueError(str(problem)) from problem

    readers = [lambda: read_checkpoint(path), lambda: read_weights(path), converter, preparation,
               lambda: CheckpointLoader.load_checkpoint(str(path), map_location='cpu')]
    before = dict(HistoryBuffer._statistics_methods)
    for trial in range(trials):
        content = {'state_dict': {'w': torch.zeros(1)}, 'x': _attacks(rng, trace)}
        torch.save(content, path, _use_new_zipfile_serialization=bool(trial % 4))  # each fourth in the old format
        read = readers[trial % len(readers)]

        def attempt(read=read) -> str:
            """Read the file; what is wrong where it was not refused."""
            read()
            return '' if before == HistoryBuffer._statistics_methods else 'the statistics of histories were changed'

        problem = _alone(attempt, str(path))
        if trace.exists():
            trace.unlink()
            problem = 'code ran'
        yield problem


def hostile_addresses(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """A hostile file in torch's cache, asked for by every kind of address."""
    import mmengine.runner.checkpoint as library
    trace = rig.folder / 'ran'

    def read(address: str) -> None:
        """Load an address as mmengine does, with a download that brings a hostile file."""
        os.environ['TORCH_HOME'] = str(rig.folder / 'hub')
        torch.hub.download_url_to_file = lambda url, path, *_, **__: torch.save(
            {'x': Call(os.system, f'touch {trace}')}, path)
        library.get_torchvision_models = lambda: {'resnet50': 'https://x.invalid/resnet50.pth'}
        library.CheckpointLoader.load_checkpoint(address, map_location='cpu')

    for address in ('openmmlab://resnet50_caffe', 'torchvision://resnet50', 'modelzoo://resnet50',
                    'mmcls://mobilenet_v2', 'https://x.invalid/other.pth')[:trials]:
        problem = _alone(lambda address=address: f'{address} was read: {read(address)}', '.pth')
        yield 'code ran' if trace.exists() else problem


def _mangled(data: bytes, rng: random.Random) -> bytes:
    """A copy with one damage: flipped bits, the end cut off, four bytes overwritten, a piece copied elsewhere."""
    changed = bytearray(data)
    kind, place = rng.randrange(4), rng.randrange(len(data))
    if kind == 0:
        for _ in range(rng.choice([1, 1, 3, 20])):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        return data[:place]
    elif kind == 2:
        changed[place:place + 4] = rng.choice([b'\xff' * 4, b'\0' * 4, b'\x7f\xff\xff\xff', rng.randbytes(4)])
    else:
        other, size = rng.randrange(len(data)), rng.randrange(1, 64)
        changed[place:place + size] = data[other:other + size]
    return bytes(changed[:len(data)])


def _batched(trials: int, one: Callable[[int], str], size: int = 100) -> Iterator[str]:
    """Trials a hundred to a process, one by one again where that process crashed.

    Args:
        trials: Their number.
        one: Makes the trial of a number; '' or what is wrong.
        size: Trials of one process.
    """
    for begin in range(0, trials, size):
        numbers = range(begin, min(trials, begin + size))
        answer = _alone(lambda numbers=numbers: json.dumps([one(n) for n in numbers]), '', 600)
        try:
            yield from json.loads(answer)
        except ValueError:  # no list, but what was wrong with the process
            for number in numbers:
                yield _alone(lambda number=number: one(number), '')


def fuzzed_checkpoints(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """Mangled bytes of a checkpoint: refused by name, or (where a byte has no meaning) read as it was."""
    from mmseg_dg.utils.checkpoint_reader import read_checkpoint
    from mmseg_dg.utils.plain_values import to_plain
    history = HistoryBuffer([1., 2.], [1, 1])
    content = dict(state_dict={'w': torch.arange(40.)}, meta=dict(iter=3, text='abcd'), message_hub=dict(
        log_scalars=dict(loss=history), runtime_info={}, resumed_keys={}))
    file = io.BytesIO()
    torch.save(content, file)  # as mmengine writes it
    to_plain(content)
    plain = io.BytesIO()
    torch.save(content, plain)
    files, seed = (file.getvalue(), plain.getvalue()), rng.random()

    def one(number: int) -> str:
        """Mangle a file, the same way each time for a number, and read it."""
        path = rig.folder / f'fuzzed{number}.pth'
        path.write_bytes(_mangled(files[number % 2], random.Random(f'{seed} {number}')))
        try:
            read = read_checkpoint(path)
            same = torch.equal(read['state_dict']['w'], torch.arange(40.)) and read['meta'] == content['meta']
            return '' if same else f'fuzzed{number} was read with other content'
        except ValueError as error:
            return '' if str(path) in str(error) else f'an error without the name: {error}'
        except Exception as error:  # noqa: BLE001
            return f'fuzzed{number}: {type(error).__name__}: {error}'
        finally:
            path.unlink()

    yield from _batched(trials, one)


def damaged_mat(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """Mangled MATLAB files of SBD's layout: refused by name, or a label."""
    from scipy.io import savemat

    from mmseg_dg.datasets.conversion.voc import read_mat
    label = (np.arange(600).reshape(30, 20) % 21).astype(np.uint8)
    borders = np.empty((20, 1), object)
    borders[:, 0] = [np.eye(3)] * 20
    files = []
    for packed in (True, False):
        file = io.BytesIO()
        savemat(file, dict(GTcls=dict(Segmentation=label, Boundaries=borders)), do_compression=packed)
        files.append(file.getvalue())
    seed = rng.random()

    def one(number: int) -> str:
        """Mangle a file, the same way each time for a number, and read it."""
        path = rig.folder / f'{number}.mat'
        path.write_bytes(_mangled(files[number % 2], random.Random(f'{seed} {number}')))
        try:
            read_mat(str(path), 'GTcls', 'Segmentation')
        except ValueError as error:
            return '' if str(path) in str(error) else f'an error without the name: {error}'
        except Exception as error:  # noqa: BLE001
            return f'{number}.mat: {type(error).__name__}: {error}'
        finally:
            path.unlink()
        return ''

    yield from _batched(trials, one)


def damaged_caches(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """Mangled, negative and NaN tables and deep JSON: counted again, or read as they were."""
    from mmseg_dg.datasets.statistics.cache import CacheEntry
    base, good, seed = str(rig.folder / 'statistics'), np.array([[5, 0], [3, 4]], np.int32), rng.random()
    entry = CacheEntry((base, ), base, 'same', (2, 2), 'attack')

    def one(number: int) -> str:
        """Write a good entry, damage its table or its index, and ask for the counts."""
        dice = random.Random(f'{seed} {number}')
        entry.write(good)
        if number % 4 == 0:
            Path(f'{base}.json').write_text(dice.choice(['[', '{"a":']) * dice.choice([10, 10**5]))
        elif number % 4 == 1:
            np.save(f'{base}.npy', np.where(good > 3, dice.choice([np.nan, -1., np.inf]), good))
        else:
            path = Path(f'{base}.{("npy", "json")[number % 2]}')
            data = path.read_bytes()
            path.write_bytes(data[:dice.randrange(len(data))])
        try:
            found = entry.read_or_make(lambda: good)
        except Exception as error:  # noqa: BLE001
            return f'{type(error).__name__}: {error}'
        return '' if np.array_equal(found, good) else f'counts {np.asarray(found).tolist()}'

    yield from _batched(trials, one)


def huge_images(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """A PNG of 30000x30000 pixels in less than 3 MB, as a label of a converter and as an image of a training."""
    from mmseg_dg.datasets.transforms import LoadAnnotations, LoadImageFromFile
    path, side = rig.folder / 'huge.png', 30000

    def chunk(kind: bytes, data: bytes) -> bytes:
        """A chunk of a PNG file: length, kind, data, checksum."""
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    # a row is its filter's number and a byte for each pixel
    rows = b''.join(packer.compress(b'\0' * (side + 1)) for _ in range(side)) + packer.flush()
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0))
                     + chunk(b'IDAT', rows) + chunk(b'IEND', b''))
    # what a dataset hands to LoadAnnotations
    label = dict(seg_map_path=str(path), label_map=None, reduce_zero_label=False, seg_fields=[])
    for read in (lambda: LoadAnnotations().transform(dict(label)) and 'was decoded',
                 lambda: LoadImageFromFile().transform(dict(img_path=str(path))) and 'was decoded')[:trials]:
        yield _alone(read, str(path))
