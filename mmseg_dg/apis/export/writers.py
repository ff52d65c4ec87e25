"""One function per format: a network and its metadata into a file.

Shapes: B images, H x W pixels.
"""
import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mmseg_dg.registry import MODELS, TRANSFORMS
from mmseg_dg.weights.segmentor_export import is_ours

from .graph import InferenceGraph, without_size_warnings
from .hrda import HRDAGraph
from .metadata import KEY, with_tuples

#: Format -> ending of its file.
ENDINGS = {'safetensors': '.safetensors', 'onnx': '.onnx', 'torch.export': '.pt2', 'mmseg': '.pth'}
#: Formats that hold a graph, not only weights and a config.
GRAPHS = ('onnx', 'torch.export')
OPSET = 18  # version of the set of ONNX operators
#: Format -> libraries that write it.
_NEEDS = {'onnx': ('onnx', 'onnxscript')}


def check_format(to: str) -> None:
    """Refuse an unknown format, and one whose libraries are not installed.

    Raises:
        ValueError: Unknown format.
        ImportError: A library is missing; the message has the command that installs it.
    """
    if to not in ENDINGS:
        raise ValueError(f'--to {to}: formats are {", ".join(ENDINGS)}')
    missing = [name for name in _NEEDS.get(to, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f'--to {to} needs {" and ".join(missing)}: pip install "mmseg_dg[export]", or '
            f'pip install {" ".join(missing)} onnxruntime')


def write_safetensors(module: nn.Module, metadata: Mapping, path: Path) -> None:
    """Weights at full precision; the header says how to build the network that they fill."""
    from safetensors.torch import save_file
    save_file(_state(module), str(path), metadata={'format': 'pt', KEY: json.dumps(metadata)})


def write_mmseg(module: nn.Module, metadata: Mapping, path: Path) -> None:
    """Weights and, under the same name ending in ``.py``, the config for
    ``mmseg.apis.init_model``."""
    known = {key: metadata[key] for key in ('classes', 'palette') if metadata[key]}
    torch.save(dict(state_dict=_state(module), meta={'dataset_meta': known, KEY: dict(metadata)}),
               path)


def write_mmseg_config(metadata: Mapping, path: Path) -> None:
    """Write the config beside a file of :func:`write_mmseg`.

    Parts of this package are named ``mmseg_dg.NAME``, so that MMSegmentation's tools find them from
    their own scope.
    """
    config = dict(metadata['config'], default_scope='mmseg')
    config.update(model=_with_scopes(config['model'], MODELS),
                  test_pipeline=[with_tuples(_step(step)) for step in config['test_pipeline']])
    # stock MMSegmentation has to import this package, if any part is of it
    if any('mmseg_dg.' in json.dumps(config[key]) for key in ('model', 'test_pipeline')):
        imports = (config.get('custom_imports') or {}).get('imports', ())
        others = [name for name in imports if name != 'mmseg_dg']
        config['custom_imports'] = dict(imports=['mmseg_dg', *others], allow_failed_imports=False)
    # MMSegInferencer looks for the pipeline of a loader, and for a visualizer
    config['test_dataloader'] = dict(
        dataset=dict(type='BaseSegDataset', pipeline=config['test_pipeline']))
    config['visualizer'] = dict(type='SegLocalVisualizer', name='visualizer')
    Config(config).dump(path)


def _step(step: Mapping) -> dict:
    """A step of the pipeline as stock MMSegmentation reads it.

    ``LoadImageFromFile`` without ``bit_depth`` is left to the stock step of that name, which loads
    8-bit files in the same way but does not know two of the arguments.
    """
    if step['type'] == 'LoadImageFromFile' and step.get('bit_depth') is None:
        return {key: value for key, value in step.items() if key not in ('bit_depth', 'max_pixels')}
    return _with_scopes(step, TRANSFORMS)


def _with_scopes(node: Any, registry: Any) -> Any:
    """The same config with the scope in front of this package's types (``mmseg_dg.DAFormerHead``),
    so that stock MMSegmentation finds them.

    Args:
        node: Any part of the config.
        registry: Where its types are registered, MODELS or TRANSFORMS of this package.
    """
    if isinstance(node, (list, tuple)):
        return [_with_scopes(value, registry) for value in node]
    if not isinstance(node, Mapping):
        return node
    result = {key: _with_scopes(value, registry) for key, value in node.items()}
    kind = result.get('type')
    # a type of both packages, but only this one's has the argument: mmseg's reads three channels
    needs_ours = kind == 'MobileNetV2' and 'in_channels' in result
    if isinstance(kind, str) and '.' not in kind and (needs_ours or is_ours(kind, registry)):
        result['type'] = f'mmseg_dg.{kind}'
    return result


def traced(graph: InferenceGraph) -> torch.export.ExportedProgram:
    """The graph for any batch, height and width.

    Raises:
        ValueError: A part takes a decision that hangs on the size of the image; the cause says
            where.
    """
    step = multiple_of(graph)
    # an example above every size at which a part behaves in another way, and where it can be of odd
    # sides: what a network pads is then padded in the trace, and so for every size. The margins are
    # arbitrary; height and width differ, so that the tracer takes them for two numbers
    side = max(101, window_reach(graph) + 5, *(side + 27 - side % 2 for side in smallest(graph)))
    sides = (side, side + 46)
    if step != 1:
        sides = ((side // step + 1) * step, (side // step + 4) * step)
    with torch.no_grad(), without_size_warnings():
        try:
            return torch.export.export(graph, (graph.example(*sides), ),
                                       dynamic_shapes=graph.dynamic_shapes, strict=False)
        except Exception as error:
            raise ValueError(
                f'{type(graph.body).__name__}: the network cannot be written for images of every '
                f'size ({type(error).__name__}: {str(error)[:400]})') from error


def smallest(graph: InferenceGraph) -> tuple[int, int]:
    """Least (height, width) in pixels that a written graph is for: HRDA's windows, else 64."""
    return graph.body.smallest if isinstance(graph.body, HRDAGraph) else (64, 64)


def window_reach(graph: InferenceGraph) -> int:
    """Largest side in pixels at which some layer still has a single attention window, 0 for
    networks without windows.

    An example to trace must be larger: traced with one window, their number 1 would be written down
    for good. Encoders with windows say it in their attribute ``window_reach``.
    """
    return max((getattr(module, 'window_reach', 0) for module in graph.modules()), default=0)


def multiple_of(graph: InferenceGraph) -> int:
    """What both sides of an image must be multiples of: the patch of an encoder that does not
    resize, else 1."""
    # a module whose setting ``resize`` is None takes only whole patches; '' stands for a module
    # without that setting, which any size suits
    patches = [
        patch for module in graph.modules() if vars(module).get('resize', '') is None
        and isinstance(patch := vars(module).get('patch_size'), int)
    ]
    return math.lcm(*patches)  # 1 for none


def write_torch_export(program: torch.export.ExportedProgram, metadata: Mapping,
                       path: Path) -> None:
    """``torch.export.load(path).module(check_guards=False)`` runs it;
    ``extra_files={'mmseg_dg.json': ''}`` reads the metadata."""
    torch.export.save(program, str(path), extra_files={f'{KEY}.json': json.dumps(metadata)})


def write_onnx(program: torch.export.ExportedProgram, metadata: Mapping, path: Path, output: str,
               optimize: bool = True) -> None:
    """Write an ONNX file of opset 18.

    Args:
        program: Of :func:`traced`.
        metadata: Goes into the file as JSON.
        path: The file.
        output: Name of its output, ``logits`` or ``classes``; its input is called ``images``.
        optimize: Let the exporter simplify the graph.
    """
    result = torch.onnx.export(program, dynamo=True, verbose=False, input_names=['images'],
                               output_names=[output], opset_version=OPSET, external_data=False,
                               optimize=optimize)
    assert result is not None  # of the exporter that dynamo=True chooses
    # the exporter calls the free sizes of the input s0, s1, ...: the file gets words for them. In
    # both layouts, (B, 3, H, W) and (B, H, W, 3), they come in this order; the 3 is an int
    shape = result.model.graph.inputs[0].shape or ()
    symbols = [str(side) for side in shape if not isinstance(side, int)]
    names = dict(zip(symbols, ('batch', 'height', 'width')))
    _rename(result.model, names)
    result.model.metadata_props[KEY] = json.dumps(metadata)
    result.save(str(path), external_data=False)


def _rename(model: Any, names: Mapping[str, str]) -> None:
    """Rename the free sizes of a graph's inputs, in place; sizes inside are derived by the runtime.

    Args:
        model: The exporter's model (``onnx_ir``).
        names: Symbol of the exporter -> name in the file.
    """
    for value in model.graph.inputs:
        value.shape = type(value.shape)([
            names.get(str(side), side) if not isinstance(side, int) else side
            for side in value.shape
        ])


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's state dict as tensors of the CPU that own their memory."""
    return {
        key: value.detach().cpu().contiguous().clone()
        for key, value in module.state_dict().items()
    }
