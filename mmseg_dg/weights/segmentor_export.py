"""One network of a trained method as a plain segmentor: state dict and inference config."""
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Protocol, Union, runtime_checkable

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import CheckpointLoader
from torch import nn

from mmseg_dg.registry import MODELS, TRANSFORMS
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.finite_state import refuse_nonfinite
from mmseg_dg.utils.frozen import RECORD
from mmseg_dg.utils.loaders import loaders_by_name
from mmseg_dg.utils.modules import HasNetworks

from .files import without_pretrained

#: Arguments of our preprocessor that mmseg's does not have.
_OWN_PREPROCESSING = ('streams', )
#: Arguments of encoders that matter in training only.
_TRAINING = ('trainable', 'lora', 'extra_channels')
#: Modules whose parts have stock twins of the same names: losses with a weight per pixel, encoders
#: with options.
_TWINS = ('mmseg_dg.models.losses.weighted', 'mmseg_dg.models.backbones.stock')


class Export(NamedTuple):
    """What was written.

    Attributes:
        checkpoint: Path of the weights.
        config: Path of the inference config.
        network: Name of the exported network.
        own_parts: Types of this package (empty: stock MMSegmentation loads it).
        tensors: Number of tensors.
    """
    checkpoint: Path
    config: Path
    network: str
    own_parts: tuple[str, ...]
    tensors: int

    @property
    def lines(self) -> list[str]:
        """What was written, and what is needed to load it, as lines for people."""
        text = [
            f'{self.checkpoint}: {self.tensors} tensors of the network "{self.network}"',
            f'{self.config}: '
            'its config for mmseg.apis.init_model and inference_model'
        ]
        if self.own_parts:
            return [
                *text,
                f'needs this package, because of {", ".join(self.own_parts)}: its config sets '
                "custom_imports=dict(imports=['mmseg_dg'])"
            ]
        return [*text, 'every part is stock: it loads in MMSegmentation without this package']


def export_segmentor(checkpoint: Union[str, Path], target: Union[str, Path],
                     config: Union[Config, str, Path,
                                   None] = None, network: Optional[str] = None) -> Export:
    """Write ``target`` (weights) and the file of the same name ending in ``.py`` (inference
    config).

    Args:
        checkpoint: Written by a run of this package, or the state dict of a plain segmentor, to
            which the file that is written adds an inference config.
        target: File to write, ending in ``.pth``.
        config: That of the run; None: the only config file beside the checkpoint (mmengine puts it
            there).
        network: Which of the method's networks (``student``, ``teacher``, ``retentive``, ...);
            None: the one that it evaluates.

    Raises:
        FileNotFoundError: No such checkpoint, or no config beside it.
        ValueError: An unknown network, a target of another ending, or a checkpoint that does not
            hold the network.
    """
    checkpoint, target = Path(checkpoint), Path(target)
    if not checkpoint.is_file():
        raise FileNotFoundError(f'no checkpoint at {checkpoint}')
    if target.suffix != '.pth' or target.resolve() == checkpoint.resolve():
        raise ValueError(f'{target}: name another file than the checkpoint, ending in .pth')
    # a copy: load_network takes pretrained files out of it
    cfg = copy.deepcopy(config) if isinstance(config, Config) else read_config_file(
        config or _beside(checkpoint))
    name, module, meta = load_network(cfg, checkpoint, network)
    inference, own_parts = inference_config(cfg)
    target.parent.mkdir(parents=True, exist_ok=True)
    # clones: tensors that share memory would each be written whole
    state = {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=_dataset_meta(meta))), target)
    inference.dump(target.with_suffix('.py'))
    return Export(checkpoint=target, config=target.with_suffix('.py'), network=name,
                  own_parts=own_parts, tensors=len(state))


def load_network(cfg: Config, checkpoint: Union[str, Path],
                 network: Optional[str] = None) -> tuple[str, nn.Module, dict]:
    """One network of a method with the weights of a checkpoint, its adapters merged.

    Args:
        cfg: Of the run; pretrained files that it names are not needed, nor looked for, but for that
            of a frozen encoder which the checkpoint leaves out (``save='trained'``).
        checkpoint: As :func:`export_segmentor`, or ``mmseg_dg://NAME``.
        network: As :func:`export_segmentor`.

    Returns:
        The network's name, the network, and the ``meta`` of the checkpoint.

    Raises:
        CheckpointError: That file is not there, or is another one.
        ValueError: An unknown network, numbers that are not finite, or a checkpoint that does not
            hold the network.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    refuse_nonfinite(content, str(checkpoint))
    # or a plain state dict; without the records of encoders that only training needs
    state = {
        key: value
        for key, value in content.get('state_dict', content).items()
        if not key.endswith(f'.{RECORD}') or key.startswith('student.')
    }
    left_out = any(key.endswith(f'.{RECORD}') for key in state)
    # building reads no file; the init_cfg of a left-out encoder says where to look for it
    method = MODELS.build(copy.deepcopy(cfg.model) if left_out else without_pretrained(cfg.model))
    name = network or (method.evaluate if isinstance(method, HasNetworks) else 'student')
    module = _fill(method, state, name)
    merge_adapters(module)
    return name, module, dict(content.get('meta') or {})


def _beside(checkpoint: Path) -> Path:
    """The one config file in the folder of a checkpoint; FileNotFoundError for none or several."""
    found = sorted(checkpoint.parent.glob('*.py'))
    if len(found) != 1:
        raise FileNotFoundError(f'{checkpoint.parent} has {len(found)} config files, from which '
                                'the network could be known: give --config, that of the run')
    return found[0]


def _fill(method: BaseModel, state: dict, name: str) -> nn.Module:
    """Load a state dict into the method and return its network ``name``.

    Args:
        method: A method, or a plain segmentor, which is its own network ``student``.
        state: Of a checkpoint; other networks of the method may be missing in it.
        name: Of the network.

    Raises:
        ValueError: There is no such network, or the state dict does not fill it.
    """
    # names missing in the method are compared with the tensors of the network by identity: the
    # network's own names differ (no ``student.``), and a tensor may belong to several networks
    tensors = {key: id(value) for key, value in method.state_dict(keep_vars=True).items()}
    missing = set(method.load_state_dict(state, strict=False).missing_keys)
    # a plain segmentor, no method of this package, is its own network
    networks = method.networks() if isinstance(method, HasNetworks) else {'student': method}
    if name not in networks:
        raise ValueError(f'{type(method).__name__} has no network {name!r}: use one of '
                         f'{sorted(networks)}')
    wanted = {id(value) for value in networks[name].state_dict(keep_vars=True).values()}
    # counters of BatchNorm batches change no prediction: old files lack them
    lacking = sorted(k for k in missing
                     if tensors[k] in wanted and not k.endswith('num_batches_tracked'))
    if lacking:
        raise ValueError(f'the checkpoint lacks {len(lacking)} tensors of the network {name!r}, '
                         f'e.g. {lacking[:3]}: give the config it was trained with')
    return networks[name]


@runtime_checkable
class MergesAdapters(Protocol):
    """A module that merges its own adapters (low-rank updates) into its weights."""
    def merge_adapters(self) -> None:
        """Merge them, in place."""


@runtime_checkable
class Adapter(Protocol):
    """A layer with an adapter."""
    def merged(self) -> nn.Module:
        """A plain layer of the same function."""


def merge_adapters(network: nn.Module) -> int:
    """Merge adapters into the layers they change; the network is changed in place.

    A module that has ``merge_adapters()`` does it itself (the outermost only); one that has
    ``merged()`` is replaced by what that gives, a plain layer of the same function.

    Returns:
        How many were merged; a module that does it itself counts once.
    """
    if isinstance(network, MergesAdapters):
        network.merge_adapters()
        return 1
    count = 0
    for name, child in list(network.named_children()):
        if isinstance(child, Adapter):
            setattr(network, name, child.merged())
            count += 1
        else:
            count += merge_adapters(child)
    return count


def _dataset_meta(meta: Mapping) -> dict:
    """Names and colors of the classes, where a checkpoint's ``meta`` has them."""
    dataset_meta = meta.get('dataset_meta') or {}
    return {key: dataset_meta[key] for key in ('classes', 'palette') if dataset_meta.get(key)}


def inference_config(cfg: Config) -> tuple[Config, tuple[str, ...]]:
    """Config of a run -> (config of its network alone, types in it that stock MMSegmentation
    lacks).

    The pipeline is that of the first test domain whose steps are all stock, without those that read
    labels. If there is none: plain loading, or where images are loaded as mmseg cannot (stacks,
    more than 8 bits), this package's loading step with the stock ones after it.
    """
    network = without_pretrained(_network(cfg.model))
    # replaced below by mmseg's preprocessor with the method's mean and std
    network = ConfigDict(
        {key: value
         for key, value in network.items() if key != 'data_preprocessor'})
    preprocessor = {
        k: v
        for k, v in (cfg.model.get('data_preprocessor') or {}).items()
        if k not in _OWN_PREPROCESSING
    }
    if network.get('backbone'):
        network.backbone = {k: v for k, v in network.backbone.items() if k not in _TRAINING}
    # mmseg's takes one mean or three
    stock = len(preprocessor.get('mean') or ()) in (0, 1, 3)
    kind = 'SegDataPreProcessor' if stock else 'MultiStreamDataPreprocessor'
    network.data_preprocessor = dict(preprocessor, type=kind)
    pipeline = _pipeline(cfg)
    ours = {step['type'] for step in pipeline if _needs_us(step)}
    ours |= {kind for kind in _types(network) if is_ours(kind, MODELS)}
    if network.get('backbone',
                   {}).get('type') == 'MobileNetV2' and 'in_channels' in network.backbone:
        ours.add('MobileNetV2')  # mmseg's reads three channels
    own_parts = tuple(sorted(ours))
    # encoders of mmpretrain have to be imported before the config can be built
    foreign = ['mmpretrain.models'] if any(
        kind.startswith('mmpretrain.') for kind in _types(network)) else []
    result = dict(default_scope='mmseg_dg' if own_parts else 'mmseg', model=network,
                  test_pipeline=pipeline)
    imports = (['mmseg_dg'] if own_parts else []) + foreign
    if imports:
        result['custom_imports'] = dict(imports=imports, allow_failed_imports=False)
    return Config(result), own_parts


def _network(model: ConfigDict) -> ConfigDict:
    """Config of the network in a method's config, with what the method's other arguments add to it
    (``network_config``); a plain segmentor is its own.
    """
    if 'network' not in model:
        return model
    return ConfigDict(MODELS.get(model.type).network_config(model))


def _pipeline(cfg: Config) -> list:
    """Steps of the first test domain's pipeline that stock MMSegmentation has, without those that
    read labels.

    Where there is no such pipeline: of the first one that loads images as stock MMSegmentation
    cannot, the loading step and the stock ones; else plain loading.
    """
    own_loading: list = []
    for loader in loaders_by_name(cfg.get('test_dataloader')).values():
        steps = [
            step for step in loader['dataset'].get('pipeline', ())
            if 'Annotations' not in step['type']
        ]
        if steps and not any(_needs_us(step) for step in steps):
            # arguments of this package's loading step that mmseg's does not take
            return [{
                key: value
                for key, value in step.items() if key not in ('bit_depth', 'max_pixels')
            } for step in steps]
        kept = [
            dict(step) for step in steps
            if step['type'].startswith('LoadImage') or not _needs_us(step)
        ]
        if any(_needs_us(step) for step in kept):
            own_loading = own_loading or kept
    return own_loading or [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


def _needs_us(step: Mapping) -> bool:
    """Whether a transform is of this package alone, so that stock MMSegmentation lacks it.

    ``LoadImageFromFile`` is in both, and loads 8-bit files in the same way.
    """
    if step['type'] == 'LoadImageFromFile':
        return step.get('bit_depth') is not None
    return is_ours(step['type'], TRANSFORMS)


def _types(node: Any) -> Iterator[str]:
    """Every registered name (value of ``type``) in a model config, at any depth."""
    if isinstance(node, Mapping):
        if isinstance(node.get('type'), str):
            yield node['type']
        for value in node.values():
            yield from _types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _types(value)


def is_ours(kind: str, registry: Any) -> bool:
    """Whether a registered name is a part of this package that stock MMSegmentation lacks.

    Args:
        kind: Value of ``type`` in a config.
        registry: Where it is looked up, such as ``MODELS``.
    """
    with DefaultScope.overwrite_default_scope('mmseg_dg'):
        found = registry.get(kind)
    if found is None or found.__module__ in _TWINS:
        return False
    return found.__module__.split('.')[0] == 'mmseg_dg'
