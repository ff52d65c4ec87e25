"""A trained network as a file for elsewhere: safetensors, ONNX, torch.export, MMSegmentation.

Shapes: B images, K classes, H x W pixels.
"""
import copy
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from mmengine.config import Config
from torch import nn

from mmseg_dg.engine.loops.multi_domain import predicted_classes
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.weights.segmentor_export import load_network
from mmseg_dg.weights.shipped import PREFIX

from ..prediction import dataset_meta, prediction_steps
from . import check, metadata, writers
from .graph import InferenceGraph, without_training_parts


class Exported(NamedTuple):
    """What was written.

    Attributes:
        path: The file; with ``mmseg`` the weights, whose config lies beside them.
        metadata: What it says about itself.
        agreement: How it compares with the network; None where it was not run.
        notes: For people.
    """
    path: Path
    metadata: dict[str, Any]
    agreement: Optional[check.Agreement]
    notes: tuple[str, ...]


def export_network(config: Union[str, Path,
                                 Config], checkpoint: Union[str,
                                                            Path], to: str, out: Union[str,
                                                                                       Path] = '.',
                   *, name: Optional[str] = None, network: Optional[str] = None,
                   normalize: bool = False, argmax: bool = False, plain: bool = False,
                   compare: bool = True, score: Optional[dict[str, float]] = None) -> Exported:
    """Write one network of a trained method, without what only training needs, its adapters merged.

    Args:
        config: Of the run.
        checkpoint: Written by the run, a plain segmentor, or ``mmseg_dg://NAME``.
        to: ``safetensors`` or ``mmseg`` (weights and config), ``onnx`` or ``torch.export`` (a graph
            of any size and batch).
        out: Folder.
        name: The file is called ``NAME-<first 8 digits of its SHA-256>``; None: the config's name
            and the network's.
        network: ``student``, ``teacher``, ...; None: the one that the config evaluates.
        normalize: Of a graph: it reads uint8 (B, H, W, 3) in BGR order, as OpenCV does (more than
            three channels: in the order of the file), and normalizes itself.
        argmax: Of a graph: it gives class ids, uint8 (B, H, W), instead of logits, float32 (B, K,
            H, W).
        plain: Of a graph of a mask diffusion network, which samples: write its plain classifier.
        compare: Run the written graph beside the network and refuse it where they differ.
        score: What was measured, by name; None: what the logs beside the checkpoint say of its
            iteration.

    Raises:
        FileNotFoundError: No such checkpoint.
        ImportError: A library of the format is missing.
        ValueError: An option that does not fit, a network that cannot be written as a graph (the
            message has the reason), or one that the written file does not equal.
    """
    writers.check_format(to)
    if to not in writers.GRAPHS and (normalize or argmax or plain):
        raise ValueError(
            f'--to {to} holds weights and a config: normalize, argmax and plain are for '
            f'{" and ".join(writers.GRAPHS)}')
    if not str(checkpoint).startswith(PREFIX) and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'no checkpoint at {checkpoint}')
    cfg = copy.deepcopy(config) if isinstance(config, Config) else read_config_file(config)
    # name of the network, the network, ``meta`` of the checkpoint
    chosen, module, meta = load_network(cfg, checkpoint, network)
    classes = meta.get('dataset_meta') or {}
    classes = classes if classes.get('classes') else dataset_meta(cfg, predicted_classes(module))
    described = metadata.describe(cfg, checkpoint, chosen, module, meta, classes,
                                  prediction_steps(cfg), score)
    stem = Path(out) / (name or f'{described["name"]}_{chosen}')
    stem.parent.mkdir(parents=True, exist_ok=True)
    if to in writers.GRAPHS:
        return _graph(to, stem, cfg, module, described, normalize, argmax, plain, compare)
    return _weights(to, stem, module, described)


def _weights(to: str, stem: Path, module: nn.Module, described: dict) -> Exported:
    """Write weights and a config that reads them.

    Args:
        to: ``safetensors`` or ``mmseg``.
        stem: Path without hash and ending.
        module: The network; changed in place.
        described: Its metadata, with the config.

    Returns:
        The file, its metadata, and notes for the user.
    """
    without_training_parts(module)
    _check_config(module, described)
    write = writers.write_safetensors if to == 'safetensors' else writers.write_mmseg
    path = _with_hash(stem, to, lambda temporary: write(module, described, temporary))
    if to == 'safetensors':
        return Exported(path, described, None, (f'mmseg_dg.load({str(path)!r}) reads it', ))
    writers.write_mmseg_config(described, path.with_suffix('.py'))
    needs = 'it loads in MMSegmentation without this package'
    if described['config'].get('custom_imports'):
        needs = 'its config imports mmseg_dg'
    return Exported(path, described, None,
                    (f'{path.with_suffix(".py")}: its config for mmseg.apis.init_model; '
                     f'{needs}', ))


def _graph(to: str, stem: Path, cfg: Config, module: nn.Module, described: dict, normalize: bool,
           argmax: bool, plain: bool, compare: bool) -> Exported:
    """Write the network as a graph of operations, and compare the file with the network; arguments
    as of :func:`export_network`.

    Returns:
        The file, its metadata, how far it agrees (None: not compared), and notes for the user.
    """
    # what the file is compared with: a copy, since the graph takes the network apart
    before = copy.deepcopy(module).eval() if compare else None
    norm = described['preprocessing'] if normalize else {}  # {}: the graph does not normalize
    if normalize and not norm.get('mean'):
        raise ValueError(
            'normalize needs data_preprocessor.mean and std in the config, which has none: leave '
            'it out')
    to_rgb = norm.get('channel_order') != 'BGR'
    graph = InferenceGraph(module, norm.get('mean'), norm.get('std'), to_rgb, argmax, plain)
    described.update(input=_input_text(graph),
                     output='classes uint8 (B, H, W)' if argmax else 'logits float32 (B, K, H, W)',
                     smallest=list(writers.smallest(graph)), multiple_of=writers.multiple_of(graph),
                     form='plain classifier' if plain else 'whole image')
    program = writers.traced(graph)
    if to == 'onnx':
        output = 'classes' if argmax else 'logits'
        path = _with_hash(
            stem, to, lambda temporary: writers.write_onnx(program, described, temporary, output))
    else:
        path = _with_hash(
            stem, to, lambda temporary: writers.write_torch_export(program, described, temporary))
    notes = ['the plain classifier, not the sampler: measure it before you rely on it'
             ] if plain else []
    agreement = None if before is None else _compared(to, path, graph, before, notes)
    if (described['test'] or {}).get('mode') == 'slide':
        notes.append(
            'the network is tested in sliding windows; the file predicts one window, metadata '
            '"test" has '
            'their size')
    return Exported(path, described, agreement, tuple(notes))


def _input_text(graph: InferenceGraph) -> str:
    """What a graph reads, in words."""
    if not graph.normalizes:
        return f'images float32 (B, {graph.channels}, H, W), normalized'
    order = 'BGR' if graph.channels == 3 else 'channels in the order of the file'
    return f'images uint8 (B, H, W, {graph.channels}), {order}'


def _compared(to: str, path: Path, graph: InferenceGraph, before: nn.Module,
              notes: list[str]) -> Optional[check.Agreement]:
    """Run a written file beside the network.

    Args:
        to: ``onnx`` or ``torch.export``.
        path: The file.
        graph: What was written.
        before: The network, copied before it was taken apart for the graph.
        notes: For the user; one is added where nothing on this machine can run the file.

    Returns:
        How far they agree; None where the file was not run.

    Raises:
        ValueError: The file differs from the network; it was removed.
    """
    run = check.run_onnx(path) if to == 'onnx' else check.run_torch_export(path)
    if run is None:
        notes.append('not compared with the network: pip install onnxruntime')
        return None
    found = check.compare(run, graph, before)
    if not found.holds:
        path.unlink()
        raise ValueError(
            f'the written file is not the network ({found}): it was removed. Please report the '
            'config')
    return found


def _check_config(module: nn.Module, described: dict) -> None:
    """Refuse (ValueError) to write weights that the written config would not read: names or shapes
    differ.
    """
    built = MODELS.build(described['config']['model'])
    wanted = {key: tuple(value.shape) for key, value in built.state_dict().items()}
    ours = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    names = wanted.keys() | ours.keys()
    differing = sorted(key for key in names if wanted.get(key) != ours.get(key))
    if differing:
        raise ValueError(
            f'the network without its training parts is not the one its config describes: '
            f'{len(differing)} tensors differ, e.g. {differing[:4]}')


def _with_hash(stem: Path, to: str, write: Any) -> Path:
    """Write a file whose name has the hash of its content, whole or not at all.

    Args:
        stem: Path without hash and ending.
        to: The format, which gives the ending.
        write: ``write(path)`` writes the content to a temporary path in the same folder.

    Returns:
        Path of the file, ``<stem>-<first 8 digits of its SHA-256><ending>``.
    """
    ending = writers.ENDINGS[to]
    # with the ending of the format, which torch.export insists on
    temporary = stem.with_name(f'.{stem.name}.part{ending}')
    try:
        write(temporary)
        target = stem.with_name(f'{stem.name}-{metadata.sha256(temporary)[:8]}{ending}')
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
