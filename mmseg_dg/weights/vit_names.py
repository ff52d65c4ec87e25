"""Names of Vision Transformers' tensors in the files of several libraries, and the ones this
package reads.

Shapes: N tokens, D channels.
"""
import re
from collections.abc import Mapping

import torch
from torch import Tensor

#: mmpretrain's names -> DINOv2's.
_MMPRETRAIN = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.(\d+)\.ln1\.', r'blocks.\1.norm1.'),
    (r'^layers\.(\d+)\.ln2\.', r'blocks.\1.norm2.'),
    (r'^layers\.(\d+)\.attn\.gamma1\.weight$', r'blocks.\1.ls1.gamma'),
    (r'^layers\.(\d+)\.ffn\.gamma2\.weight$', r'blocks.\1.ls2.gamma'),
    (r'^layers\.(\d+)\.attn\.', r'blocks.\1.attn.'),
    (r'^layers\.(\d+)\.ffn\.layers\.0\.0\.', r'blocks.\1.mlp.fc1.'),
    (r'^layers\.(\d+)\.ffn\.layers\.1\.', r'blocks.\1.mlp.fc2.'),
    (r'^layers\.(\d+)\.ffn\.(w12|w3)\.', r'blocks.\1.mlp.\2.'),
    (r'^ln1\.', 'norm.'),
)


def layout_of(state: Mapping[str, Tensor]) -> str:
    """Whose names the tensors of a Vision Transformer have: ``'dinov2'``, ``'timm'``,
    ``'mmpretrain'``, ``'transformers'``, ``'dinov3'`` or ``'unknown'``.
    """
    # the order counts: later tests would also fit files of the earlier layouts
    keys = set(state)
    if any(key.endswith('attn.qkv.bias_mask') for key in keys) or 'storage_tokens' in keys:
        return 'dinov3'
    if any(key.startswith(('embeddings.', 'encoder.layer.')) for key in keys):
        return 'transformers'
    if any(re.match(r'layers\.\d+\.ln1\.', key) for key in keys):
        return 'mmpretrain'
    # DINOv2's own files have a mask token, timm's have none; reg_token is timm's word
    if 'reg_token' in keys or any(key.startswith('blocks.0.')
                                  for key in keys) and 'mask_token' not in keys:
        return 'timm'
    return 'dinov2' if any(key.startswith('blocks.0.') for key in keys) else 'unknown'


def to_dinov2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a Vision Transformer under DINOv2's names, which are those of this package's
    encoder; a classifier ``head.*`` is dropped.

    Args:
        state: Of a file in the layout ``dinov2``, ``timm`` or ``mmpretrain``. timm's models with
            registers keep no position for the class token: it is 0 then. Files without a mask token
            get zeros, as in a new network.

    Raises:
        ValueError: Another layout.
    """
    layout = layout_of(state)
    if layout not in ('dinov2', 'timm', 'mmpretrain'):
        raise ValueError(
            f'tensors in the layout {layout} (such as {sorted(state)[:3]}): fetch a file in the '
            'layout dinov2 (dl.fbaipublicfiles.com), timm or mmpretrain')
    result = {}
    for key, value in state.items():
        if layout == 'mmpretrain':
            for pattern, name in _MMPRETRAIN:
                key, done = re.subn(pattern, name, key)
                if done:
                    break
        result['register_tokens' if key == 'reg_token' else key] = value  # timm's name
    # (1, N, D): the class token's position, then those of the grid
    positions = result.get('pos_embed')
    if layout == 'timm' and 'register_tokens' in result and positions is not None:
        result['pos_embed'] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    if 'mask_token' not in result and 'cls_token' in result:
        result['mask_token'] = torch.zeros_like(result['cls_token'][0])  # (1, 1, D) -> (1, D)
    return {key: value for key, value in result.items() if not key.startswith('head.')}


def to_tinyvit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a TinyViT under its original names.

    Args:
        state: Original names, alone or below ``image_encoder.`` (MobileSAM), or mmpretrain's
            (``stages.*``, ``conv2d``, ``bn2d``).

    Raises:
        ValueError: Neither.
    """
    if any(key.startswith('image_encoder.') for key in state):
        start = len('image_encoder.')
        state = {
            key[start:]: value
            for key, value in state.items() if key.startswith('image_encoder.')
        }
    if any(key.startswith('stages.') for key in state):
        state = {
            re.sub(r'\bbn2d\b', 'bn',
                   re.sub(r'\bconv2d\b', 'c', re.sub(r'^stages\.', 'layers.', key))): value
            for key, value in state.items()
        }
    if 'patch_embed.seq.0.c.weight' not in state:
        raise ValueError(f'tensors such as {sorted(state)[:3]} are not those of a TinyViT '
                         '(patch_embed.seq.0.c.weight)')
    return dict(state)
