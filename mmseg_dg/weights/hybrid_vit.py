"""Public weights of the hybrid R50+ViT-B/16 encoder -> names of
:class:`mmseg_dg.models.backbones.HybridViT`.

Two layouts are known: the authors' ``R50+ViT-B_16.npz`` (NHWC arrays, query, key and value apart)
and timm's ``vit_base_r50_s16_224`` (PyTorch tensors). Nothing is guessed: a name that is in neither
layout stops the conversion.

Shapes: M heads, C channels.
"""
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np
import torch
from torch import Tensor

from .comparison import build_on_meta, compare
from .files import Problem, save_atomically
from .official_checkpoints import read_tensors

#: Classifier of the pretraining, which an encoder does not need.
_DROPPED = re.compile(r'^(head|pre_logits|fc_norm)[./]')
# names in the .npz: of a residual unit, of a transformer layer, single ones, those within a layer
_NPZ_UNIT = re.compile(r'^block(\d+)/unit(\d+)/(conv|gn)(\d|_proj)/(kernel|scale|bias)$')
_NPZ_LAYER = re.compile(r'^Transformer/encoderblock_(\d+)/(.+)$')
_NPZ_PLAIN = {
    'conv_root/kernel': 'stem.conv.weight',
    'gn_root/scale': 'stem.norm.weight',
    'gn_root/bias': 'stem.norm.bias',
    'embedding/kernel': 'patch_embed.weight',
    'embedding/bias': 'patch_embed.bias',
    'cls': 'cls_token',
    'Transformer/posembed_input/pos_embedding': 'pos_embed',
    'Transformer/encoder_norm/scale': 'norm.weight',
    'Transformer/encoder_norm/bias': 'norm.bias',
}
_NPZ_IN_LAYER = {
    'LayerNorm_0/scale': 'norm1.weight',
    'LayerNorm_0/bias': 'norm1.bias',
    'LayerNorm_2/scale': 'norm2.weight',
    'LayerNorm_2/bias': 'norm2.bias',
    'MlpBlock_3/Dense_0/kernel': 'fc1.weight',
    'MlpBlock_3/Dense_0/bias': 'fc1.bias',
    'MlpBlock_3/Dense_1/kernel': 'fc2.weight',
    'MlpBlock_3/Dense_1/bias': 'fc2.bias',
}
_ATTENTION = 'MultiHeadDotProductAttention_1/'
#: (pattern of timm's names, ours); the first that fits counts.
_TIMM = [
    (r'^patch_embed\.backbone\.stem\.', 'stem.'),
    (r'^patch_embed\.backbone\.stages\.(\d+)\.blocks\.(\d+)\.downsample\.',
     r'stages.\1.\2.projection.'),
    (r'^patch_embed\.backbone\.stages\.(\d+)\.blocks\.(\d+)\.', r'stages.\1.\2.'),
    (r'^patch_embed\.proj\.', 'patch_embed.'),
    (r'^blocks\.(\d+)\.attn\.', r'layers.\1.'),
    (r'^blocks\.(\d+)\.mlp\.', r'layers.\1.'),
    (r'^blocks\.(\d+)\.', r'layers.\1.'),
    (r'^(cls_token|pos_embed)$', r'\1'),
    (r'^norm\.', 'norm.'),
]


class Converted(NamedTuple):
    """An encoder in our names.

    Attributes:
        state: Name -> float32 tensor.
        dropped: Names of the file that an encoder does not need.
        layout: ``npz`` or ``timm``.
        settings: Arguments of ``HybridViT`` that the file asks for, where they differ from the
            defaults.
    """
    state: dict[str, Tensor]
    dropped: list[str]
    layout: str
    settings: dict


def convert_hybrid_vit(path: Union[str, Path]) -> Converted:
    """Read a public file of the hybrid encoder and rename its tensors; sizes are found in the file.

    Raises:
        Problem: No such file, names of neither layout, or tensors missing or surplus for a
            HybridViT of these sizes.
    """
    path = Path(path)
    if not path.is_file():
        raise Problem(f'there is no file {path}')
    arrays, layout = _read(path)
    dropped = sorted(k for k in arrays if _DROPPED.match(k))
    encoder = {k: v for k, v in arrays.items() if k not in dropped}
    state = _from_npz(encoder, path) if layout == 'npz' else _from_timm(encoder, path)
    sizes = _sizes(state, arrays, path)
    _check_complete(state, sizes, path)
    return Converted(state, dropped, layout, _not_default(sizes))


def convert_file(source: Path, target: Path) -> list[str]:
    """Convert ``source`` and write ``target``. Returns the lines of the report for the user.

    Raises:
        Problem: As :func:`convert_hybrid_vit`, or both paths are the same file.
    """
    if target.is_dir():
        raise Problem(f'{target} is a folder: name the file to write')
    if target.exists() and target.resolve() == source.resolve():
        raise Problem(f'{target} is the source: name another file to write')
    result = convert_hybrid_vit(source)
    save_atomically(result.state, target)
    numbers = sum(v.numel() for v in result.state.values())
    lines = [
        f'{source}: layout {result.layout}',
        f'converted {len(result.state)} tensors ({numbers / 1e6:.2f} M numbers), every tensor '
        'of the encoder is filled', f'dropped {", ".join(result.dropped) or "nothing"}'
    ]
    if result.settings:
        lines.append(f'the encoder of this file is HybridViT with {result.settings}')
    if result.layout == 'timm':
        lines.append("timm computes an exact GELU: gelu='none' reproduces its outputs, 'tanh' "
                     "those of the authors")
    return [*lines, f'written to {target}']


def _read(path: Path) -> tuple[dict, str]:
    """The tensors of a file by name, and the layout of these names, ``'npz'`` or ``'timm'``;
    Problem for a file of neither.
    """
    if path.suffix == '.npz':
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {k: torch.from_numpy(np.asarray(file[k], np.float32)) for k in file.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise Problem(f'{path} cannot be read as arrays: {error}') from error
    else:
        arrays = read_tensors(path)
    if 'conv_root/kernel' in arrays:
        return arrays, 'npz'
    if 'patch_embed.backbone.stem.conv.weight' in arrays:
        return arrays, 'timm'
    raise Problem(f'{path} is of no known layout: expected conv_root/kernel (R50+ViT-B_16.npz) or '
                  'patch_embed.backbone.stem.conv.weight (timm vit_base_r50_s16_224), found '
                  f'{sorted(arrays)[:5]}')


def _from_npz(arrays: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors of :class:`HybridViT` from the arrays of the published ``.npz``.

    Names there: ``block2/unit01/conv1/kernel`` for a residual unit, of which the first is
    ``stages.1.0``; ``Transformer/encoderblock_3/...`` for a layer; and single ones
    (``_NPZ_PLAIN``). Problem for a name of none of these kinds.
    """
    state: dict[str, Tensor] = {}
    # number of the layer -> its 'query/kernel', 'query/bias', ...: packed when all were seen
    attention: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for name, value in arrays.items():
        layer, in_unit = _NPZ_LAYER.match(name), _NPZ_UNIT.match(name)
        if name in _NPZ_PLAIN:
            state[_NPZ_PLAIN[name]] = _to_torch(name, value)
        elif in_unit:
            stage, unit, kind, number, what = in_unit.groups()
            part = dict(conv='conv', gn='norm')[kind]
            # '_proj' is the shortcut's convolution or norm
            part = f'projection.{part}' if number == '_proj' else f'{part}{number}'
            role = 'bias' if what == 'bias' else 'weight'  # kernel and scale are weights
            ours = f'stages.{int(stage) - 1}.{int(unit) - 1}.{part}.{role}'
            state[ours] = _to_torch(name, value)
        elif layer and layer[2] in _NPZ_IN_LAYER:
            state[f'layers.{layer[1]}.{_NPZ_IN_LAYER[layer[2]]}'] = _to_torch(name, value)
        elif layer and layer[2].startswith(_ATTENTION):
            attention.setdefault(layer[1], {})[layer[2][len(_ATTENTION):]] = value
        else:
            unknown.append(name)
    _refuse(unknown, path)
    for number, parts in attention.items():
        state.update(
            {f'layers.{number}.{k}': v
             for k, v in _packed_attention(parts, number, path).items()})
    return state


def _to_torch(name: str, value: Tensor) -> Tensor:
    """An array of the ``.npz`` in torch's order of axes.

    Kernels (h, w, in, out) become (out, in, h, w) and (in, out) become (out, in), scales and
    biases flat; class token and positions stay as they are. ``name`` is that of the ``.npz``.
    """
    if name.endswith('/kernel'):
        # (h, w, in, out) -> (out, in, h, w), or (in, out) -> (out, in)
        return (value.permute(3, 2, 0, 1) if value.dim() == 4 else value.t()).contiguous()
    # scales and biases: (1, 1, 1, C) -> (C,)
    return value if name == 'cls' or name.endswith('pos_embedding') else value.flatten()


def _packed_attention(parts: Mapping[str, Tensor], number: str, path: Path) -> dict[str, Tensor]:
    """The attention of one layer in torch's order of axes, query, key and value as one projection.

    Args:
        parts: The ``.npz``'s ``query/kernel``, ``key/kernel`` and ``value/kernel``, each
            (C, M, C / M), ``out/kernel`` (M, C / M, C), and the biases.
        number: Of the layer, for the message.
        path: Of the file, for the message.

    Returns:
        ``qkv.weight`` (3 C, C), ``qkv.bias`` (3 C,), ``proj.weight`` (C, C), ``proj.bias`` (C,).

    Raises:
        Problem: ``parts`` are not exactly these.
    """
    wanted = [f'{a}/{b}' for a in ('query', 'key', 'value', 'out') for b in ('kernel', 'bias')]
    if sorted(parts) != sorted(wanted):
        raise Problem(f'{path}: attention of layer {number} has {sorted(parts)}, expected '
                      f'{sorted(wanted)}')
    # (C, M, C / M) -> (C, C), then rows are outputs
    qkv = [parts[f'{a}/kernel'].flatten(1).t() for a in ('query', 'key', 'value')]
    bias = [parts[f'{a}/bias'].flatten() for a in ('query', 'key', 'value')]  # (M, C / M) -> (C,)
    # (M, C / M, C) -> (C, C), then rows are outputs
    return {
        'qkv.weight': torch.cat(qkv), 'qkv.bias': torch.cat(bias),
        'proj.weight': parts['out/kernel'].flatten(0, 1).t().contiguous(),
        'proj.bias': parts['out/bias'].flatten()
    }


def _from_timm(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors of :class:`HybridViT` from timm's, by the patterns of ``_TIMM``; Problem for a
    name that fits none.
    """
    state, unknown = {}, []
    for name, value in tensors.items():
        rule = next(((pattern, ours) for pattern, ours in _TIMM if re.match(pattern, name)), None)
        if rule is None:
            unknown.append(name)
        else:
            state[re.sub(rule[0], rule[1], name)] = value.float()
    _refuse(unknown, path)
    return state


def _refuse(unknown: list, path: Path) -> None:
    """Raise :class:`Problem` if there are names of no known layout."""
    if unknown:
        raise Problem(f'{path}: {len(unknown)} names are of no known layout, e.g. {unknown[:5]}')


def _sizes(state: Mapping[str, Tensor], arrays: Mapping[str, Tensor], path: Path) -> dict:
    """Arguments of HybridViT, read off the tensors.

    Args:
        state: Under our names.
        arrays: The same as in the file.
        path: Of the file, for the message.

    Raises:
        Problem: A tensor that shows a size is missing.
    """
    try:
        # the stage of each residual unit
        units = [int(m[1]) for m in (re.match(r'stages\.(\d+)\.\d+\.conv1', k) for k in state) if m]
        dims = state['patch_embed.weight'].shape[0]
        # (C, M, C / M) in the .npz; timm's files do not show the number of heads: 64 channels
        # each, as in every Vision Transformer of the authors
        query = next((v for k, v in arrays.items() if k.endswith('query/kernel')), None)
        # positions of the grid, which is square: (1, tokens, C), the class token's left out
        tokens = state['pos_embed'].shape[1] - ('cls_token' in state)
        return dict(stem_channels=state['stem.conv.weight'].shape[0],
                    stages=[units.count(i) for i in range(max(units) + 1)], embed_dims=dims,
                    num_layers=sum(bool(re.match(r'layers\.\d+\.qkv\.weight', k)) for k in state),
                    num_heads=query.shape[1] if query is not None else dims // 64,
                    feedforward_channels=state['layers.0.fc1.weight'].shape[0],
                    pos_grid=(round(tokens**0.5), ) * 2, cls_token='cls_token' in state)
    except (KeyError, ValueError) as error:
        raise Problem(f'{path} lacks a part of the encoder: {error}') from error


def _check_complete(state: Mapping[str, Tensor], sizes: dict, path: Path) -> None:
    """Refuse (Problem) tensors that do not fill an encoder of these sizes exactly."""
    try:
        reference = build_on_meta(dict(type='HybridViT', **sizes))
    except ValueError as error:
        raise Problem(f'{path}: {error}') from error
    share = compare(reference, state)
    if share.missing or share.unexpected:
        raise Problem(f'{path} does not fill the encoder: missing or of another shape '
                      f'({len(share.missing)}) {share.missing[:5]}, surplus '
                      f'({len(share.unexpected)}) {share.unexpected[:5]}')


def _not_default(sizes: dict) -> dict:
    """The arguments that differ from the defaults of HybridViT."""
    default = dict(stem_channels=64, stages=[3, 4, 9], embed_dims=768, num_layers=12, num_heads=12,
                   feedforward_channels=3072, pos_grid=(14, 14), cls_token=True)
    return {k: v for k, v in sizes.items() if v != default[k]}
