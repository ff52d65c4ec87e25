"""Checkpoints of the trained part: what a frozen encoder has from its weight file is left out, and
found again."""
import copy
import json
import os
from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple, Optional

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmseg_dg.utils.checkpoint_reader import CheckpointError
from mmseg_dg.utils.frozen import RECORD, encoders_in
from mmseg_dg.utils.modules import child
from mmseg_dg.weights.files import sha256_of
from mmseg_dg.weights.shipped import PREFIX, shipped_file

#: What a checkpoint may hold: everything, or all but the frozen part of encoders.
SAVE = ('whole', 'trained')


class _Frozen(NamedTuple):
    """An encoder of which not all is trained.

    Attributes:
        places: Beginnings of the names under which a method's state dict has it: its own first
            (``student.backbone``), then those of its averages.
        encoder: The module.
        names: Its tensors that training never changes.
    """
    places: list[str]
    encoder: Any
    names: set[str]


def check_recordable(method: BaseModel) -> None:
    """Refuse ``save='trained'`` where it cannot work, before iteration 0, and note the SHA-256 of
    the files that were read, which checkpoints record.

    Raises:
        ValueError: No encoder is frozen, a frozen one has no weight file to come back from, or
            holds other values than its file (``load_from`` filled it): these would be lost.
    """
    frozen = list(_frozen_encoders(method))
    if not frozen:
        raise ValueError(
            "save='trained' leaves a frozen encoder out of checkpoints, but no encoder is frozen: "
            "set trainable='none' or 'adapters' of the encoder, or save='whole'")
    for places, encoder, names in frozen:
        encoder.frozen_file = None  # of an earlier training of the same method
        path = _shown(places[0])
        if _file_of(encoder) is None:
            raise ValueError(
                f"save='trained': the frozen encoder {path} ({type(encoder).__name__}) started "
                "from no weight file and could never be read again: set its "
                "init_cfg=dict(type='Pretrained', checkpoint=...), or save='whole'")
        # read the file into a copy, and compare every frozen tensor
        file, prefix = _known_file_of(encoder)
        fresh = copy.deepcopy(encoder)
        _read(fresh, file, prefix)
        now, in_file = encoder.state_dict(), fresh.state_dict()
        differing = [name for name in sorted(names) if not torch.equal(now[name], in_file[name])]
        if differing:
            raise ValueError(
                f"save='trained': {len(differing)} frozen tensors of {path} ({differing[0]}, ...) "
                f'are not those of {file}, the file of its init_cfg: load_from has filled them, '
                "and a checkpoint without them could not be read again. Use save='whole', or give "
                "the encoder's init_cfg the file with these values")
        _record_of(encoder)


def leave_frozen_out(method: BaseModel, state: MutableMapping[str, Tensor]) -> int:
    """Take the tensors of frozen encoders out of a method's state dict: of the student, of its
    averages, and of a projected feature distance.

    Args:
        method: The method; the weight file of a frozen encoder is that of its ``init_cfg``, which
            is not read again after :func:`check_recordable`.
        state: Tensors of any shape by name; changed in place. A record of the file (path, prefix,
            SHA-256) is added per encoder.

    Returns:
        How many tensors were left out.
    """
    count = 0
    for places, encoder, names in _frozen_encoders(method):
        for name in names:
            # an average may hold other values than the student's: those stay in the checkpoint
            # (the student comes first among the places; its own value is held here)
            own = state.get(f'{places[0]}.{name}')
            for key in (f'{place}.{name}' for place in places):
                if key in state and own is not None and torch.equal(state[key], own):
                    del state[key]
                    count += 1
        # as a tensor, since a state dict holds nothing else: the JSON's bytes, uint8 (n,)
        text = json.dumps(_record_of(encoder))
        state[f'{places[0]}.{RECORD}'] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    return count


def restore_frozen(method: BaseModel, state: MutableMapping[str, Tensor]) -> None:
    """Bring back what :func:`leave_frozen_out` has left out; other state dicts stay as they are.

    Args:
        method: The method that loads; its encoders are read from their files on the way.
        state: Tensors of any shape by name; changed in place.

    Raises:
        CheckpointError: The file is not there, or is another one; the message has its name and
            SHA-256.
    """
    frozen = {one.places[0]: one for one in _frozen_encoders(method)}
    for key in [key for key in state if key.endswith(f'.{RECORD}')]:
        # uint8 tensor of JSON under <place of the encoder>.<RECORD>, see leave_frozen_out
        record = json.loads(bytes(state.pop(key).tolist()))
        place = key[:-len(f'.{RECORD}')]
        path = _shown(place)
        inferring_needs_it = place.startswith('student.')
        if place not in frozen and not inferring_needs_it:
            print_log(
                f'{path}, which only training needs, is left out: the config has no such '
                'encoder, or no file for it', logger='current')
            continue
        if place not in frozen:
            raise CheckpointError(
                f'this checkpoint was written with a frozen encoder {path}, which the config has '
                'not: give the config it was trained with')
        places, encoder, names = frozen[place]
        if inferring_needs_it or _lies_somewhere(record, _file_of(encoder)):
            file = _find(path, record, _file_of(encoder))
            _read(encoder, file, record['prefix'])
        else:  # a training reads it when it begins, and ends there without it
            file = 'nowhere: its file is missing, and only training needs it'
        values, expected = encoder.state_dict(), set(method.state_dict())
        for place in places:
            for name in names:
                key_of_place = f'{place}.{name}'
                if key_of_place in expected and key_of_place not in state:
                    state[key_of_place] = values[name]
        print_log(
            f'the frozen part of {path} comes from {file} (SHA-256 {record["sha256"][:8]}...)',
            logger='current')


def _lies_somewhere(record: dict, configured: Optional[tuple]) -> bool:
    """Whether there is any file at the places that :func:`_find` looks at."""
    places = [record['file'], *(configured[:1] if configured else ())]
    return any(os.path.isfile(_on_disk(place)) for place in places)


def _find(path: str, record: dict, configured: Optional[tuple]) -> str:
    """The recorded weight file, looked for at the config's place and then at the recorded one.

    Args:
        path: Of the encoder within the network, for the message.
        record: ``file`` (where it lay when the checkpoint was written) and ``sha256``.
        configured: What the encoder's ``init_cfg`` says, ``(file, prefix)``, or None.

    Returns:
        The place whose file has the recorded SHA-256.

    Raises:
        CheckpointError: There is none.
    """
    wanted = record['sha256']
    # a dict keeps the order and drops the second of two equal places
    places = dict.fromkeys([configured[0]] if configured else [])
    places[record['file']] = None
    wrong = []
    for place in places:
        if os.path.isfile(_on_disk(place)):
            digest = sha256_of(_on_disk(place))
            if digest == wanted:
                return place
            wrong.append(f'{place} has {digest}')
    reason = f', which is not there (in {os.getcwd()})'
    if wrong:
        reason = f'; {" and ".join(wrong)}, another file'
    raise CheckpointError(
        f'this checkpoint holds the trained part only; the frozen part of {path} is in '
        f'{record["file"]} with SHA-256 {wanted}{reason}. Put that file there, or give its path as '
        "checkpoint of the encoder's init_cfg")


def _read(encoder: Any, file: str, prefix: Optional[str]) -> None:
    """Load ``file`` into the encoder as it is read when a run begins; no random number is used up.

    Args:
        encoder: Keeps its ``init_cfg``.
        file: Path, or ``mmseg_dg://NAME``.
        prefix: What the encoder's names begin with in the file; None for nothing.
    """
    own_init_cfg = encoder.init_cfg
    with torch.random.fork_rng(devices=[]):
        encoder.init_cfg = dict(type='Pretrained', checkpoint=file,
                                **(dict(prefix=prefix) if prefix else {}))
        encoder._is_init = False  # mmengine initializes a module once, unless told
        try:
            encoder.init_weights()
        finally:
            encoder.init_cfg = own_init_cfg


def _frozen_encoders(method: Any) -> Iterator[_Frozen]:
    """Each encoder of the student of which not all is trained, ``trainable='none'`` or
    ``'adapters'`` (:mod:`mmseg_dg.utils.frozen`), and that of a projected feature distance, which
    is never trained, if it has a file.
    """
    networks = ['student', *(f'{name}.module' for name in method.ema_pairs())]
    for path, encoder in encoders_in(method.student).items():
        if encoder.trainable != 'all':
            yield _Frozen([f'{network}.{path}' for network in networks], encoder,
                          encoder.frozen_names())
    distance = child(method, 'projected_distance')
    for path, encoder in encoders_in(distance).items() if distance is not None else ():
        if _file_of(encoder) is not None:
            yield _Frozen([f'projected_distance.{path}'], encoder, set(encoder.state_dict()))


def _shown(place: str) -> str:
    """An encoder's place in a method as messages have it: within the network, if it is there."""
    return place.removeprefix('student.')


def _file_of(encoder: nn.Module) -> Optional[tuple[str, Optional[str]]]:
    """``(file, prefix)`` of an encoder's pretrained weights; None for none."""
    init = getattr(encoder, 'init_cfg', None)
    if isinstance(init, dict) and init.get('type') == 'Pretrained' and isinstance(
            init.get('checkpoint'), str):
        return init['checkpoint'], init.get('prefix')
    return None


def _known_file_of(encoder: nn.Module) -> tuple[str, Optional[str]]:
    """``(file, prefix)`` as of :func:`_file_of`, of an encoder that is known to have a file."""
    found = _file_of(encoder)
    assert found is not None  # check_recordable has seen to it
    return found


def _record_of(encoder: Any) -> dict:
    """What a checkpoint says of an encoder's weight file: ``file``, ``prefix`` and ``sha256``.

    Made once and kept at the encoder: the file may be exchanged, moved or deleted while a run goes
    on, and the frozen tensors are those of the file that was read.
    """
    if encoder.frozen_file is None:
        file, prefix = _known_file_of(encoder)
        encoder.frozen_file = dict(file=file, prefix=prefix, sha256=sha256_of(_on_disk(file)))
    return encoder.frozen_file


def _on_disk(file: str) -> str:
    """The path of a weight file, which may be one of the package (``mmseg_dg://NAME``)."""
    return str(shipped_file(file)) if file.startswith(PREFIX) else file
