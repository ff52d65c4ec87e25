"""Conversion of the official DAFormer, HRDA and MIC checkpoints, for
tools/model_converters/hrda2mmseg_dg.py.
"""
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Union

from mmengine.config import Config
from torch import Tensor, nn

from mmseg_dg.utils.checkpoint_reader import CheckpointError, read_weights
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.listing import listed

from .comparison import build_on_meta, difference
from .files import Problem, save_atomically, without_pretrained
from .official_names import from_official, from_official_backbone, split_training_checkpoint

StateDict = dict[str, Tensor]

ACCEPTED = ('Accepted are training checkpoints of DAFormer, HRDA and MIC (keys model.*, '
            'ema_model.*, imnet_model.*) and ImageNet files of Mix Transformers (keys '
            'patch_embed1.*, block1.*)')
#: How names of the three networks of a training checkpoint begin.
_ROLES = ('model.', 'ema_model.', 'imnet_model.')
#: Part of the names of style prototypes, which a network has only if it trains with them.
_STYLE = 'style_hallucination.proto_'


class Conversion(NamedTuple):
    """A converted network.

    Attributes:
        state: ``backbone.*`` and ``decode_head.*``, or the names of ``MixTransformer`` for an
            ImageNet file.
        notes: What the user should know, line by line.
    """
    state: StateDict
    notes: list[str]


def convert_file(source: Union[str, Path], target: Union[str, Path], model: str = 'student',
                 config: Union[Config, str, Path, None] = None) -> list[str]:
    """Convert a file; the target appears only if everything fits.

    Args:
        source: Official checkpoint.
        target: File to write: a plain state dict.
        model: ``'student'`` (what the papers evaluate) or ``'teacher'``.
        config: Compare names and shapes with the network of this config; None: with a network of
            the sizes found in the file, which is possible for Mix Transformers under DAFormer's and
            HRDA's own decoders.

    Returns:
        What was done, line by line.

    Raises:
        Problem: The file is no such checkpoint, or does not fit; the message lists unexpected and
            missing keys.
    """
    source, target = Path(source), Path(target)
    if target.is_dir():
        raise Problem(f'{target} is a folder: name the file to write')
    if target.exists() and target.resolve() == source.resolve():
        raise Problem(f'{target} is the source: name another file to write')
    try:
        result = convert_state(read_tensors(source), model, config)
    except Problem as problem:
        raise Problem(f'{source}: {problem}') from problem
    save_atomically(result.state, target)
    return [*result.notes, f'{target} is ready: {len(result.state)} tensors']


def read_tensors(path: Path) -> StateDict:
    """The tensors of a checkpoint file (a plain state dict, or one under ``state_dict``), read
    without executing anything in it.

    Raises:
        Problem: No such file, not a checkpoint, one that holds more than tensors and plain values,
            or a state dict with anything but tensors, or with nothing. The message does not name
            the file: the caller does.
    """
    if not path.is_file():
        raise Problem('there is no such file')
    try:
        content = read_weights(path)
    except CheckpointError as error:
        raise Problem(str(error).removeprefix(f'{path}: ')) from error
    state = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state:
        what = 'an empty state dict' if isinstance(state, Mapping) else type(state).__name__
        raise Problem(f'holds {what}, not named tensors. {ACCEPTED}')
    other = [
        str(k) for k, v in state.items() if not isinstance(v, Tensor) or not isinstance(k, str)
    ]
    if other:
        raise Problem(f'entries that are no named tensors: {listed(other, 20)}. {ACCEPTED}')
    return dict(state)


def convert_state(state: Mapping[str, Tensor], model: str = 'student',
                  config: Union[Config, str, Path, None] = None) -> Conversion:
    """Convert the tensors of a file: a training checkpoint (keys ``model.*``) or the ImageNet file
    of a Mix Transformer (key ``patch_embed1.proj.weight``).

    Args:
        state: As :func:`read_tensors` gives them.
        model: As for :func:`convert_file`.
        config: As for :func:`convert_file`.

    Returns:
        The state dict and what was done, line by line.

    Raises:
        Problem: As :func:`convert_file`.
    """
    if model not in ('student', 'teacher'):
        raise Problem(f"model={model!r} must be 'student' or 'teacher'")
    keys = [k[len('module.'):] if k.startswith('module.') else k for k in state]
    try:
        if any(k.startswith(_ROLES) for k in keys):
            return _convert_network(split_training_checkpoint(state), model, config)
        plain = dict(zip(keys, state.values()))
        if 'patch_embed1.proj.weight' in plain:
            return _convert_backbone(plain, model, config)
    except ValueError as error:
        raise Problem(str(error)) from error
    ours = any(k.startswith(('student.', 'backbone.layers.', 'layers.0.')) for k in keys)
    hint = "It has this package's names already and loads as it is. " if ours else ''
    raise Problem('neither a training checkpoint nor an ImageNet file: no key begins with model. '
                  f'or patch_embed1. {hint}Unexpected keys: {listed(keys, 20)}; missing: model.*. '
                  f'{ACCEPTED}')


def _convert_network(parts: dict[str, StateDict], model: str, config: Any) -> Conversion:
    """Student or teacher of an official training checkpoint, under this package's names.

    Args:
        parts: Tensors of its networks by role (:func:`split_training_checkpoint`).
        model: ``'student'`` or ``'teacher'``.
        config: Compare with the network of this config; None: with one of the sizes found.

    Raises:
        Problem: No such role, or names and shapes differ from those of the compared network.
    """
    if model not in parts:
        raise Problem(f'it holds no {model}, only {", ".join(parts)} (source-only runs have no '
                      'teacher)')
    result = from_official(parts[model])
    notes = [f'{model} of a training checkpoint with {", ".join(parts)}']
    if model == 'teacher':
        notes.append('the published scores are those of the student')
    what = ('the decoder and encoder sizes found in the file'
            if config is None else 'the network of the config')
    reference = _inferred_network(result) if config is None else _network_of(config)
    # released checkpoints may hold style prototypes that this network has no place for
    if not any(_STYLE in k for k in reference.state_dict()):
        dropped = [k for k in result if _STYLE in k]
        result = {k: v for k, v in result.items() if k not in dropped}
        if dropped:
            notes.append(f'{len(dropped)} tensors of style prototypes are left out: this network '
                         'does not train with them')
    return Conversion(_checked(result, reference, what), notes)


def _convert_backbone(state: StateDict, model: str, config: Any) -> Conversion:
    """The encoder of an official ImageNet file, under this package's names and without classifier.

    Args:
        state: Tensors of the file under official names.
        model: ``'student'``; ``'teacher'`` is refused.
        config: Compare with the encoder of this config; None: with one of the sizes found.

    Raises:
        Problem: Names and shapes differ from those of the compared encoder, or a teacher is wanted.
    """
    if model == 'teacher':
        raise Problem('an ImageNet file has one encoder, no teacher')
    result = from_official_backbone(state)
    dropped = sorted(k for k in state if k.startswith('head.'))
    reference = build_on_meta(_inferred_backbone(result)) if config is None else _network_of(
        config).get_submodule('backbone')
    what = 'the encoder sizes found in the file' if config is None else 'the encoder of the config'
    notes = ["an ImageNet encoder: for backbone.init_cfg=dict(type='Pretrained', checkpoint=...)"]
    if dropped:
        notes.append(f'left out: {", ".join(dropped)} (the classifier)')
    return Conversion(_checked(result, reference, what), notes)


def _checked(state: StateDict, reference: nn.Module, what: str) -> StateDict:
    """``state`` in the order of ``reference``, if names and shapes agree; Problem where they do
    not, in which ``what`` names the reference. Prototypes of styles may be missing.
    """
    ours = reference.state_dict()
    found = difference(ours, state, may_lack=lambda name: _STYLE in name)
    missing, unexpected, shapes = found.missing, found.unexpected, found.shape_lines()
    if missing or unexpected or shapes:
        lines = [
            f'does not fit {what}; names are those after conversion.',
            f'  unexpected ({len(unexpected)}): {listed(unexpected, 20)}',
            f'  missing ({len(missing)}): {listed(missing, 20)}',
            f'  other shapes ({len(shapes)}): {listed(shapes, 20)}'
        ]
        raise Problem('\n'.join(lines))
    return {k: state[k] for k in ours if k in state}


# ------------------------------------------------------------------ networks to compare with
def _network_of(config: Union[Config, str, Path]) -> nn.Module:
    """The network of a config (a method's ``model.network`` or a plain segmentor's ``model``), on
    torch's meta device: names and shapes without memory for weights.
    """
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise Problem(f'there is no config {config}')
        config = read_config_file(config)
    model = config.get('model') or {}
    network = model.get('network', model)
    if 'backbone' not in network:
        raise Problem('the config has no model.network with a backbone')
    return build_on_meta(without_pretrained(network))


def _inferred_backbone(state: StateDict) -> dict:
    """Config of the Mix Transformer whose tensors these are (this package's names, the encoder's
    alone), as far as shapes tell. They do not show the number of heads, on which no shape depends.
    """
    # stage by stage: width, number of blocks, reduction of keys and values, patch size
    dims: list[int] = []
    depths, ratios, patches = [], [], []
    while f'layers.{len(dims)}.0.projection.weight' in state:
        stage = len(dims)
        projection = state[f'layers.{stage}.0.projection.weight']
        blocks = {
            m.group(1)
            for m in (re.match(rf'layers\.{stage}\.1\.(\d+)\.', k) for k in state) if m
        }
        reduction = state.get(f'layers.{stage}.1.0.attn.sr.weight')
        dims.append(projection.shape[0])
        patches.append(projection.shape[-1])  # the kernel of the embedding
        depths.append(len(blocks))
        ratios.append(1 if reduction is None else reduction.shape[-1])  # the kernel's side
    if len(dims) != 4:
        raise Problem(f'not a Mix Transformer of four stages: {len(dims)} patch embeddings among '
                      f'the keys {listed(state, 20)}')
    styles = state.get('style_hallucination.proto_mean')
    return dict(
        type='MixTransformer', arch=None, embed_dims=dims, num_layers=depths, num_heads=[1] * 4,
        patch_sizes=patches, sr_ratios=ratios,
        style_hallucination=None if styles is None else dict(num_prototypes=styles.shape[0]))


def _inferred_network(state: StateDict) -> nn.Module:
    """The network of these tensors (this package's names), on torch's meta device: a Mix
    Transformer under DAFormer's or HRDA's own decoder.

    Raises:
        Problem: The encoder or the decoder is another one.
    """
    advice = 'give the config of its network with --config CONFIG'
    backbone = {k[len('backbone.'):]: v for k, v in state.items() if k.startswith('backbone.')}
    if 'layers.0.0.projection.weight' not in backbone:
        raise Problem('the encoder is no Mix Transformer, so that sizes cannot be found in the '
                      f'file: {advice}. Keys: {listed(state, 20)}')
    backbone = _inferred_backbone(backbone)
    # HRDA's head has DAFormer's inside
    hrda = any(k.startswith('decode_head.head.') for k in state)
    prefix = 'decode_head.head.' if hrda else 'decode_head.'
    needed = [
        f'{prefix}conv_seg.weight', f'{prefix}embed_layers.0.proj.weight',
        f'{prefix}fuse_layer.bottleneck.conv.weight'
    ]
    missing = [k for k in needed if k not in state]
    if missing:
        unexpected = [k for k in state if k.startswith('decode_head.')]
        raise Problem(
            f"the decoder is not DAFormer's with separable ASPP: {advice}.\n  unexpected: "
            f'{listed(unexpected, 20)}\n  missing: {listed(missing, 20)}')
    classifier, embedding = state[needed[0]], state[needed[1]]
    head = dict(type='DAFormerHead', in_channels=list(backbone['embed_dims']),
                in_index=[0, 1, 2, 3], channels=classifier.shape[1],
                embed_channels=embedding.shape[0], num_classes=classifier.shape[0],
                fusion=dict(type='sep_aspp'), norm_cfg=dict(type='BN'))
    if not hrda:
        return build_on_meta(
            dict(type='EncoderDecoder', backbone=backbone, decode_head=head,
                 test_cfg=dict(mode='whole')))
    # without its weights HRDA mixes the two scales by a number, whose value no shape depends on
    attention = state.get('decode_head.scale_attention.conv_seg.weight')
    # one output per class, or one for all
    options = dict(fixed_attention=0.5) if attention is None else dict(
        attention_channels=attention.shape[1], attention_classwise=attention.shape[0]
        == classifier.shape[0])
    return build_on_meta(
        dict(type='HRDAEncoderDecoder', backbone=backbone, test_cfg=dict(mode='whole'),
             decode_head=dict(type='HRDAHead', head=head, **options)))
