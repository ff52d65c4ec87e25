"""What a stream's cached features depend on, as plain JSON values: the recipe, and its fingerprint.

Shapes: C channels.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.wrappers import locate

if TYPE_CHECKING:
    from .cached_features import Stream

FORMAT = 1  # of the stored files: another number makes new features
#: Settings of datasets that say where files are, not what becomes of them.
_PLACES = ('data_root', 'data_prefix', 'ann_file', 'backend_args')
#: Settings of datasets that say how files are read, not what they hold.
_LOADING = ('num_workers', 'lazy_init', 'persistent_workers')
#: Settings of encoders that change nothing of what a frozen one gives.
_INERT = ('init_cfg', 'pretrained', 'with_cp', 'drop_path_rate', 'drop_rate', 'trainable')


def encoder_recipe(method: Any, network: Mapping) -> dict:
    """What the maps of every stream depend on, as plain values: the encoder's kind, settings and
    tensors, and the normalization of its images.

    Args:
        method: With its weights loaded.
        network: Config of the method's network.
    """
    backbone, preprocessor = method.student.backbone, method.data_preprocessor
    settings = {key: value for key, value in network['backbone'].items() if key not in _INERT}
    # "all": the common preprocessor; besides it, those of streams that have their own
    normalizations = {
        name: _normalization(p)
        for name, p in [('all', preprocessor), *preprocessor.streams.items()]
    }
    return dict(encoder=plain(settings), weights=state_digest(backbone),
                normalization=normalizations)


def state_digest(module: nn.Module) -> str:
    """First half of the SHA-256 of a module's state dict, names, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
        # the bytes of the tensor: any shape and dtype -> uint8 (bytes,)
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(
            torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def fingerprint(recipe: Mapping) -> str:
    """20 hexadecimal digits that stand for a recipe."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:20]


def _normalization(preprocessor: nn.Module) -> dict:
    """The preprocessor's settings that change an encoder's input, as plain values."""
    # mmengine's preprocessors have mean and std as buffers, the others as attributes
    settings = {**vars(preprocessor), **dict(preprocessor.named_buffers(recurse=False))}
    values = {
        key: settings.get(key)
        for key in (
            'mean',
            'std',
            'channel_conversion',
            'size',
            'size_divisor',
            'pad_val',
            'seg_pad_val',
        )
    }
    # (C, 1, 1) -> C numbers
    return {
        key: value.flatten().tolist() if isinstance(value, torch.Tensor) else value
        for key, value in values.items()
    }


def pictures(stream: 'Stream') -> dict:
    """What a stream's pictures are made of, as plain values: its files (a digest) and its pipeline.

    A file counts with name, size and time of change, wherever it lies.
    The time, because uncompressed images of two folders can share names and sizes.
    Where size and time cannot be looked at (an object store, a dataset that does not name its
    files), the places count instead: paths, and the settings of the dataset that hold them.
    """
    digest, labels = hashlib.sha256(), 0  # labels: how many label files there are
    unseen = False  # whether there are files that only their place tells from others
    for index in range(len(stream.dataset)):
        # the dataset inside wrappers that holds the sample, and its number there
        leaf, local = locate(stream.dataset, index)
        described = traits(leaf)
        info = leaf.get_data_info(local) if described.describes_samples else {}
        for key in ('img_path', 'seg_map_path'):
            path = str(info.get(key) or '')
            existing = bool(path) and Path(path).is_file()
            state = (Path(path).stat().st_size, Path(path).stat().st_mtime_ns) if existing else None
            remote = bool(path) and not existing and ('://' in path or described.backend_args)
            digest.update(f'{key} {path if remote else Path(path).name} {state}\n'.encode())
            labels += key == 'seg_map_path' and existing
            unseen |= bool(remote) or (key == 'img_path' and not path)
    return dict(
        images=f'{len(stream.dataset)} images, {labels} labels ({digest.hexdigest()[:16]})',
        pipeline=plain(stream.config['dataset'], places=unseen),
    )


def plain(node: Any, places: bool = False) -> Any:
    """A config as dicts, lists and plain values, at any depth without the keys ``_LOADING`` and,
    unless ``places`` are wanted, ``_PLACES``.
    """
    left_out = _LOADING if places else _LOADING + _PLACES
    if isinstance(node, Mapping):
        return {key: plain(value, places) for key, value in node.items() if key not in left_out}
    return [plain(value, places) for value in node] if isinstance(node, (list, tuple)) else node
