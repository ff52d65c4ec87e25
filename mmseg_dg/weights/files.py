"""Pretrained weights are local files: which are known, whether they are there, and how much of them
was loaded.

The table of known files is ``configs/_base_/weights.py``. A run never downloads: a missing file, or
one that does not fit, stops it before the first iteration with the command that prepares it.
"""
import hashlib
import os
import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, Protocol, Union, runtime_checkable

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.utils.checkpoint_reader import CheckpointError, read_checkpoint, read_weights
from mmseg_dg.utils.finite_state import refuse_nonfinite

from .comparison import LoadedShare, compare
from .shipped import PREFIX, shipped_file

PACKAGE = Path(__file__).resolve().parent.parent
COMMAND = ('mim run mmseg_dg prepare_weights {name}    (in the repository: python '
           'tools/prepare_weights.py {name})')
RANDOM = 'To start from random weights, say so in the config: init_cfg=None'


class Problem(Exception):
    """A file cannot be used; the message says why and what to do."""


def weights_table() -> dict:
    """The entries of ``configs/_base_/weights.py``, by name, from the repository or from the
    installed package.

    Raises:
        FileNotFoundError: The file is in neither place.
    """
    places = [
        root / 'configs' / '_base_' / 'weights.py' for root in (PACKAGE / '.mim', PACKAGE.parent)
    ]
    for place in places:
        if place.is_file():
            return runpy.run_path(str(place))['weights']
    raise FileNotFoundError('the table of pretrained weights is missing: looked for '
                            f'{" and ".join(map(str, places))}')


def entry_of(path: Union[str, Path]) -> Optional[str]:
    """Name of the table entry whose ``file`` is called like ``path``; None for a file of the user's
    own.
    """
    return next(
        (name
         for name, entry in weights_table().items() if Path(entry['file']).name == Path(path).name),
        None)


def _how_to_get(path: str) -> str:
    """Advice about a file that is missing: the command that prepares a known one, else a remark."""
    name = entry_of(path)
    if name is None:
        return 'Put the file there, or correct the path in the config'
    return f'Fetch it once and prepare it:\n    {COMMAND.format(name=name)}'


def check_file(path: str, where: str = 'a config') -> None:
    """Refuse weights that are neither a file on this machine nor one of the package's own.

    Args:
        path: As written in a config; relative paths count from the current folder;
            ``mmseg_dg://NAME`` is a file that the package ships.
        where: Named in the message.

    Raises:
        ValueError: ``path`` is a URL (http://, s3://, ...).
        FileNotFoundError: There is no such file, or the package ships none of that name. The
            message has the command that prepares it, or the names there are.
    """
    if path.startswith(PREFIX):
        shipped_file(path)  # raises where there is none
        return
    if '://' in path:
        raise ValueError(f'{where} asks for weights from {path}. Weights are local files here: '
                         'fetch it yourself and give the path (pretrained/...). Known files: '
                         f'{", ".join(weights_table())}')
    if not Path(path).is_file():
        raise FileNotFoundError(f'{where} needs pretrained weights that are not there: {path} (in '
                                f'{os.getcwd()}). {_how_to_get(path)}\n{RANDOM}')


def requested_files(node: Any, key: str = 'model') -> Iterator[tuple[str, str]]:
    """``(dotted key, path)`` of all pretrained weights that a model config asks for.

    Args:
        node: The config, or in the recursion any value in it.
        key: Dotted key of ``node``.
    """
    if isinstance(node, Mapping):
        if node.get('type') in ('Pretrained', 'PretrainedDenoiser') and isinstance(
                node.get('checkpoint'), str):
            yield key, node['checkpoint']
        # the older spelling, still an argument of mmseg's parts
        if isinstance(node.get('pretrained'), str):
            yield f'{key}.pretrained', node['pretrained']
        for name, value in node.items():
            yield from requested_files(value, f'{key}.{name}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from requested_files(value, f'{key}.{index}')


def encoder_start(network: Any) -> str:
    """What a network's config says about the weights its encoder starts from.

    Args:
        network: Config of a segmentor with ``backbone``.

    Returns:
        ``'given'``: an ``init_cfg`` (or ``pretrained``) somewhere in the encoder's config, or one
        of the whole network; ``'none'``: ``init_cfg=None``, random weights on purpose;
        ``'absent'``: nothing is said. MMEngine treats the last two alike.
    """
    if not isinstance(network, Mapping) or not isinstance(network.get('backbone'), Mapping):
        return 'given'  # built by hand
    settings = list(_init_values(network['backbone']))
    if network.get('pretrained') or network.get('init_cfg') or any(settings):
        return 'given'
    return 'none' if settings else 'absent'


def _init_values(node: Any) -> Iterator[Any]:
    """The values of every ``init_cfg`` and ``pretrained`` of a part, at any depth of its dicts.

    ``init_cfg`` counts with whatever value, None too; ``pretrained`` only where it is a path.
    """
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key == 'init_cfg' or (key == 'pretrained' and isinstance(value, str)):
            yield value
        else:
            yield from _init_values(value)


def missing_weights(cfg: Mapping) -> Iterator[tuple[str, Exception]]:
    """``(dotted key, error)`` of every file of weights a training of a config would load, and that
    is not there.

    Pretrained files of the model, and ``load_from`` where it is a local file or names weights of
    the package.
    """
    requests = list(requested_files(cfg.get('model') or {}))
    start = cfg.get('load_from')
    if isinstance(start, str) and (start.startswith(PREFIX)
                                   or '://' not in start) and not cfg.get('resume'):
        requests.append(('load_from', start))
    for key, path in requests:
        try:
            check_file(path, key)
        except (FileNotFoundError, ValueError) as error:
            if key == 'load_from' and not path.startswith(PREFIX):
                # a checkpoint: check_file's advice is for pretrained encoders
                yield key, FileNotFoundError(f'load_from={path!r} is not there (in {os.getcwd()})')
            else:
                yield key, error


@runtime_checkable
class AdaptsState(Protocol):
    """An encoder that takes files of another number of input channels, or of other patches."""
    def adapted_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The tensors of a file in its own shapes; ValueError where they do not fit."""


def _init_dicts(module: nn.Module) -> list:
    """Those of a module's ``init_cfg`` (none, one, or a list) that ask for pretrained weights."""
    configs = getattr(module, 'init_cfg', None) or []
    configs = configs if isinstance(configs, (list, tuple)) else [configs]
    return [
        item for item in configs if isinstance(item, Mapping) and item.get('type') == 'Pretrained'
    ]


def check_pretrained(model: Union[Mapping, Config, nn.Module], minimum_share: float = 0.9) -> dict:
    """Check every ``init_cfg=dict(type='Pretrained', checkpoint=...)`` of a model before it is
    initialized.

    Args:
        model: A model config (or whole config): the files must exist. A module: they must also fill
            at least ``minimum_share`` of the tensors of the part that asks for them, and the share
            is logged.
        minimum_share: In [0, 1].

    Returns:
        For a module ``{name of the part: LoadedShare}``, for a config ``{dotted key: path}``.

    Raises:
        ValueError: A URL, or a file that does not fit.
        FileNotFoundError: A file is missing.
    """
    if not isinstance(model, nn.Module):
        model = model._cfg_dict if isinstance(model, Config) else model  # its content as a dict
        requests = dict(requested_files(model))
        for key, path in requests.items():
            check_file(path, key)
        return requests
    shares = {}
    for name, module in model.named_modules():
        for init in _init_dicts(module):
            label = name or type(module).__name__  # the module itself has no name: its class
            check_file(init['checkpoint'], label)
            shares[label] = share = loaded_share(module, init['checkpoint'], init.get('prefix'),
                                                 name=label)
            if share.share < minimum_share:
                raise ValueError(
                    f'{init["checkpoint"]} does not fit {label} ({type(module).__name__}): only '
                    f'{share.matched} of {share.total} tensors have a counterpart.\n  missing: '
                    f'{_some(share.missing)}\n  in the file but not in the model: '
                    f'{_some(share.unexpected)}\n{_how_to_get(init["checkpoint"])}')
    return shares


@contextmanager
def passing_over_surplus(module: nn.Module, shares: Mapping[str, LoadedShare]) -> Iterator[None]:
    """Inside the block, parts load their pretrained files without the tensors they have no place
    for.

    :func:`check_pretrained` has said which these are (the classifier of an ImageNet network);
    mmengine would say of the same file that it "does not match exactly".

    Args:
        module: As given to :func:`check_pretrained`.
        shares: What that returned.
    """
    parts = dict(module.named_modules())
    parts[type(module).__name__] = module  # the label check_pretrained gives to the module itself

    def leave_out(names: list) -> Callable:
        """A hook that takes these names out of a state dict before it is loaded."""
        def hook(state_dict: dict, prefix: str, *_: Any) -> None:
            # torch calls it with the whole state dict and the prefix of the part's names in it
            for name in names:
                state_dict.pop(prefix + name, None)

        return hook

    handles = [
        parts[label]._register_load_state_dict_pre_hook(leave_out(share.unexpected))
        for label, share in shares.items() if label in parts
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _some(names: list, count: int = 5) -> str:
    """The first ``count`` names, and how many there are if more; ``'none'`` for no names."""
    return ', '.join(
        names[:count]) + (f', ... ({len(names)} in all)' if len(names) > count else '') or 'none'


def read_state_dict(path: Union[str, Path], prefix: Optional[str] = None,
                    foreign: bool = False) -> dict[str, Tensor]:
    """The tensors of a checkpoint file: a plain state dict, or one under ``state_dict``, ``model``
    or ``module``.

    Args:
        path: A file that ``torch.load(weights_only=True)`` reads, ``.safetensors``, or
            ``mmseg_dg://NAME``.
        prefix: Keep only keys that start so, without it (``'backbone.'``; a final dot is added).
        foreign: Read no more than torch itself admits; otherwise also checkpoints of earlier runs
            with their logs.

    Raises:
        CheckpointError: The file is damaged, holds no dict, or needs more than tensors and plain
            values.
    """
    file = shipped_file(str(path)) if str(path).startswith(PREFIX) else path
    checkpoint = (read_weights if foreign else read_checkpoint)(file)
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f'{path} holds {type(checkpoint).__name__}, not named tensors')
    for key in ('state_dict', 'model', 'module'):  # one may hold the next
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    state = {k: v for k, v in checkpoint.items() if isinstance(v, Tensor)}
    if state and all(k.startswith('module.') for k in state):  # saved by a distributed run
        state = {k[len('module.'):]: v for k, v in state.items()}
    if prefix:  # keep what is below it, without it
        prefix = prefix if prefix.endswith('.') else f'{prefix}.'
        state = {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}
    return state


def loaded_share(module: nn.Module, checkpoint_path: Union[str, Path], prefix: Optional[str] = None,
                 name: Optional[str] = None) -> LoadedShare:
    """How much of ``module`` a checkpoint file fills; the answer is also logged.

    Args:
        module: Anything with a state dict.
        checkpoint_path: See :func:`read_state_dict`.
        prefix: Keys of the file that belong to the module start so.
        name: What the log calls the module.

    Returns:
        Numbers of tensors that fit and in all, names that are missing and that are not used.
    """
    state = read_state_dict(checkpoint_path, prefix)
    refuse_nonfinite(state, str(checkpoint_path))
    if isinstance(module, AdaptsState):  # other numbers of channels, other patches
        try:
            state = module.adapted_state(state)
        except ValueError as error:
            raise ValueError(f'{checkpoint_path} does not fit {name or type(module).__name__}: '
                             f'{error}') from error
    share = compare(module, state)
    rest = f'; missing: {_some(share.missing)}' if share.missing else ''
    rest += f'; not used: {_some(share.unexpected)}' if share.unexpected else ''
    print_log(
        f'{name or type(module).__name__}: {share.matched} of {share.total} tensors '
        f'({100 * share.share:.1f} %) from {checkpoint_path}{rest}', logger='current')
    return share


def sha256_of(path: Union[str, Path]) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(2**20), b''):  # 1 MiB at a time, until the end
            digest.update(block)
    return digest.hexdigest()


def save_atomically(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict so that an interrupted run leaves no half file under the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial, open(partial, 'wb') as file:
        # clone: no storage shared with a larger tensor
        torch.save({k: v.clone() for k, v in state.items()}, file)


def without_pretrained(node: Any) -> Any:
    """A model config (or part of one) that names no weight file: for networks another file fills,
    or none.

    ``pretrained`` and every ``init_cfg`` of a ``Pretrained...`` kind are left out; other
    initializations stay.
    """
    if isinstance(node, dict):
        return type(node)({
            key: without_pretrained(value)
            for key, value in node.items()
            if key != 'pretrained' and not (key == 'init_cfg' and _names_a_file(value))
        })
    return type(node)(without_pretrained(value)
                      for value in node) if isinstance(node, (list, tuple)) else node


def _names_a_file(init_cfg: Any) -> bool:
    """Whether an ``init_cfg`` loads a file of weights."""
    configs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(
        isinstance(c, Mapping) and str(c.get('type')).startswith('Pretrained') for c in configs)
