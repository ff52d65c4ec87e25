"""Translation between the parameter names of the official DAFormer/HRDA code and those of mmseg
(and this package).

Only the Mix Transformer differs (names; q and kv in two matrices; linear layers where mmseg has 1x1
convolutions) and the classifier of the SegFormer decoder. ResNet backbones and the other decoders
keep their names.
"""
import re
from collections.abc import Iterable, Mapping
from typing import Optional, Union

import torch
from torch import Tensor

from mmseg_dg.utils.listing import listed

StateDict = dict[str, Tensor]

_PARTS = ('backbone.', 'neck.', 'decode_head.', 'auxiliary_head.')
# how the names of a training checkpoint's networks begin, and what the networks are called here
_ROLES = {'model.': 'student', 'ema_model.': 'teacher', 'imnet_model.': 'imnet'}
# stage-wise names: official -> mmseg and back; {i} counts stages from 1 in the former, from 0 in
# the latter
_STAGE_NAMES = (
    (r'patch_embed(\d)\.proj\.', 'layers.{i}.0.projection.'),
    (r'patch_embed(\d)\.norm\.', 'layers.{i}.0.norm.'),
    (r'norm(\d)\.', 'layers.{i}.2.'),
)
_STAGE_NAMES_BACK = (
    (r'layers\.(\d)\.0\.projection\.', 'patch_embed{i}.proj.'),
    (r'layers\.(\d)\.0\.norm\.', 'patch_embed{i}.norm.'),
    (r'layers\.(\d)\.2\.', 'norm{i}.'),
)
# names within a transformer block: official -> mmseg's; ffn.layers.0 and .4 are 1x1 convolutions
_BLOCK_NAMES = {
    'attn.proj.': 'attn.attn.out_proj.',
    'mlp.fc1.': 'ffn.layers.0.',
    'mlp.dwconv.dwconv.': 'ffn.layers.1.',
    'mlp.fc2.': 'ffn.layers.4.',
    'attn.sr.': 'attn.sr.',
    'attn.norm.': 'attn.norm.',
    'norm1.': 'norm1.',
    'norm2.': 'norm2.',
}
# mmseg's packed projection of query, key and value -> the ending of the two official names
_PACKED_BACK = {'attn.attn.in_proj_weight': 'weight', 'attn.attn.in_proj_bias': 'bias'}


def from_official(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename one official sub-model to the names of ``EncoderDecoder`` with this package's parts.

    Args:
        state_dict: Keys such as ``backbone.patch_embed1.proj.weight`` and
            ``decode_head.conv_seg.weight``, without the ``model.`` of a training checkpoint (see
            :func:`split_training_checkpoint`). Keys that already have mmseg's names stay as they
            are.

    Returns:
        A new dict; tensors that need no change are shared with the input. The unused ``conv_seg``
        of the official SegFormer decoder is dropped, its ``linear_pred`` becomes ``conv_seg``.

    Raises:
        ValueError: Keys outside backbone, neck, decode_head and auxiliary_head, backbone keys
            without a counterpart, or one of q and kv without the other. The message lists the keys.
    """
    unexpected = [k for k in state_dict if not k.startswith(_PARTS)]
    if unexpected:
        raise ValueError(
            f'keys that belong to no part of a network: {listed(sorted(unexpected), 20)}; expected '
            f"them to start with {', '.join(_PARTS)} (training checkpoints go through "
            'split_training_checkpoint first)')
    backbone = {k[len('backbone.'):]: v for k, v in state_dict.items() if k.startswith('backbone.')}
    result = {f'backbone.{k}': v for k, v in from_official_backbone(backbone).items()}
    # prefixes of the official SegFormer's heads, whose classifier is called linear_pred
    segformer = {
        k[:-len('linear_pred.weight')]
        for k in state_dict if k.endswith('.linear_pred.weight')
    }
    for key, value in state_dict.items():
        owner = next((prefix for prefix in segformer if key.startswith(prefix)), None)
        # the encoder is there already; their conv_seg is never used
        if key.startswith('backbone.') or (owner and key.startswith(f'{owner}conv_seg.')):
            continue
        result[key.replace('.linear_pred.', '.conv_seg.')] = value
    return result


def from_official_backbone(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename a bare official backbone, such as the ImageNet files ``mit_b0.pth`` to ``mit_b5.pth``.

    Args:
        state_dict: Keys such as ``patch_embed1.proj.weight``. The classifier ``head.*`` of ImageNet
            files is dropped. Dicts without ``patch_embed1`` (ResNet, or mmseg's names already) come
            back unchanged.

    Returns:
        A new dict with the names of ``MixTransformer``.

    Raises:
        ValueError: As :func:`from_official`.
    """
    state = {k: v for k, v in state_dict.items() if not k.startswith('head.')}
    if 'patch_embed1.proj.weight' not in state:
        return state
    result: StateDict = {}
    unexpected: list[str] = []
    for key, value in state.items():
        # q and kv become one packed projection, made when q comes along; one without the other
        # finds no name below
        if re.search(r'\.attn\.q\.(weight|bias)$', key):
            partner = key.replace('.attn.q.', '.attn.kv.')
            if partner in state:
                packed = _block_name(key.replace('.attn.q.', '.attn.attn.in_proj_'))
                result[packed] = torch.cat([value, state[partner]])
                continue
        elif re.search(r'\.attn\.kv\.(weight|bias)$', key) and key.replace('.attn.kv.',
                                                                           '.attn.q.') in state:
            continue
        if re.match(r'style_hallucination\.proto_(mean|std)$', key):  # of the generalization branch
            result[key] = value
            continue
        name = _stage_name(key, _STAGE_NAMES, step=-1) or _block_rename(key)
        if name is None:
            unexpected.append(key)
        elif re.search(r'\.ffn\.layers\.[04]\.weight$', name) and value.ndim == 2:
            result[name] = value[:, :, None, None]  # a linear layer as a 1x1 convolution
        else:
            result[name] = value
    if unexpected:
        raise ValueError('Mix Transformer keys without a counterpart: '
                         f'{listed(sorted(unexpected), 20)}')
    return result


def official_gradients(
    named_tensors: Union[Mapping[str, Tensor], Iterable[tuple[str,
                                                              Optional[Tensor]]]]) -> StateDict:
    """The inverse of :func:`from_official` for any tensors named as our parameters (gradients,
    weights, updates).

    Args:
        named_tensors: A mapping or (name, tensor) pairs; names of a backbone alone, of a network or
            of a network inside something (``student.backbone.layers...``). Entries that are None
            are left out.

    Returns:
        ``{official name: tensor}``. q and kv are views into the packed projections, the
        feed-forward matrices lose their two spatial axes; so norms compare directly with recorded
        ones.
    """
    pairs = named_tensors.items() if isinstance(named_tensors, Mapping) else named_tensors
    tensors = {k: v for k, v in pairs if v is not None}
    # prefixes of SegFormer's heads, whose classifier has another name in the official code; only
    # they have a linear_fuse
    segformer = {
        k[:-len('linear_fuse.conv.weight')]
        for k in tensors if k.endswith('linear_fuse.conv.weight')
    }
    result: StateDict = {}
    for key, value in tensors.items():
        prefix, name = _split_prefix(key)
        # 'weight' or 'bias' of a packed projection
        packed = next((kind for end, kind in _PACKED_BACK.items() if name.endswith(end)), None)
        if packed:  # query, key and value in one matrix: the first third is q
            stem = prefix + _block_back(name)
            third = value.shape[0] // 3
            q, kv = value.split((third, 2 * third))
            result[f'{stem}attn.q.{packed}'], result[f'{stem}attn.kv.{packed}'] = q, kv
            continue
        if re.search(r'ffn\.layers\.[04]\.weight$', name) and value.ndim == 4:
            value = value[:, :, 0, 0]  # a 1x1 convolution as a linear layer
        # the SegFormer head whose classifier this is
        owner = next((p for p in segformer if key.startswith(f'{p}conv_seg.')), None)
        if owner is not None:
            result[key.replace(f'{owner}conv_seg.', f'{owner}linear_pred.')] = value
        else:
            # the name of a stage, of a block within one, or a name that is the same in both codes
            official = _stage_name(name, _STAGE_NAMES_BACK,
                                   step=1) or _block_rename_back(name) or name
            result[prefix + official] = value
    return result


def split_training_checkpoint(state_dict: Mapping[str, Tensor]) -> dict[str, StateDict]:
    """Split the ``state_dict`` of an official training checkpoint into its networks.

    Args:
        state_dict: Keys ``model.*``, ``ema_model.*``, ``imnet_model.*``, with or without
            ``module.`` in front or behind.

    Returns:
        ``{'student': ..., 'teacher': ..., 'imnet': ...}`` without those prefixes and still with
        official names; networks that the file does not hold are left out. Published scores are the
        student's.

    Raises:
        ValueError: Keys that belong to none of the three, or no student.
    """
    result: dict[str, StateDict] = {}
    unexpected: list[str] = []
    for key, value in state_dict.items():
        name = key[len('module.'):] if key.startswith('module.') else key
        # left out: the masked consistency term of MIC may have a teacher of its own
        if name.startswith('mic.'):
            continue
        prefix = next((p for p in _ROLES if name.startswith(p)), None)
        if prefix is None:
            unexpected.append(key)
            continue
        name = name[len(prefix):]
        # of a network that was wrapped for a distributed run
        name = name[len('module.'):] if name.startswith('module.') else name
        result.setdefault(_ROLES[prefix], {})[name] = value
    if unexpected or 'student' not in result:
        reason = 'no key starts with "model."'
        if unexpected:
            reason = f'unexpected keys {listed(sorted(unexpected), 20)}'
        raise ValueError(f'not an official training checkpoint: {reason} (a file with one network '
                         'needs no splitting)')
    return result


def _stage_name(key: str, table: Iterable[tuple[str, str]], step: int) -> Optional[str]:
    """The other name of a tensor by the first pattern of ``table`` that fits, None if none does.

    ``step`` is added to the number of the stage, which counts from 1 in official names and from 0
    in those of this package.
    """
    for pattern, template in table:
        match = re.match(pattern, key)
        if match:
            return template.format(i=int(match.group(1)) + step) + key[match.end():]
    return None


def _block_name(key: str) -> str:
    """The beginning of a name renamed, ``block3.7.x`` -> ``layers.2.1.7.x``; other names stay.

    In mmseg a stage has the patch embedding as 0, the blocks as 1 and the norm as 2.
    """
    return re.sub(r'^block(\d)\.(\d+)\.', lambda m: f'layers.{int(m.group(1)) - 1}.1.{m.group(2)}.',
                  key)


def _block_rename(key: str) -> Optional[str]:
    """Our name of a tensor within a transformer block; None for tensors outside of blocks."""
    match = re.match(r'block\d\.\d+\.', key)
    if match is None:
        return None
    rest = key[match.end():]
    for official, ours in _BLOCK_NAMES.items():
        if rest.startswith(official):
            return _block_name(match.group()) + ours + rest[len(official):]
    return None


def _block_back(key: str) -> str:
    """The official prefix of a block, ``layers.2.1.7.x`` -> ``block3.7.``; ``''`` outside of
    blocks.
    """
    match = re.match(r'layers\.(\d)\.1\.(\d+)\.', key)
    return f'block{int(match.group(1)) + 1}.{match.group(2)}.' if match else ''


def _block_rename_back(key: str) -> Optional[str]:
    """The official name of a tensor within a transformer block; None for tensors outside of blocks.
    """
    match = re.match(r'layers\.\d\.1\.\d+\.', key)
    rest = key[match.end():] if match else ''  # '' begins with none of the names below
    for official, ours in _BLOCK_NAMES.items():
        if rest.startswith(ours):
            return _block_back(key) + official + rest[len(ours):]
    return None


def _split_prefix(key: str) -> tuple[str, str]:
    """A name as (what stands before the encoder, its name within the encoder).

    ``'student.backbone.layers.0'`` -> ``('student.backbone.', 'layers.0')``; a name that is not of
    a Mix Transformer below ``backbone.`` comes back whole, after ``''``.
    """
    head, separator, tail = key.rpartition('backbone.')
    if separator and tail.startswith('layers.'):
        return head + separator, tail
    return '', key
