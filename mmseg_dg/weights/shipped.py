"""Weights that lie inside the package: small networks for the demo and for own data on a small
machine.

A config names one as ``mmseg_dg://NAME``, as ``load_from`` (a whole network) or as
``init_cfg=dict(type='Pretrained', checkpoint='mmseg_dg://NAME', prefix='backbone.')`` (its
encoder). Nothing is fetched: the file is ``mmseg_dg/assets/NAME.safetensors`` of the installed
package, with a card ``NAME.json`` beside it that says how it was made.
"""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor

from mmseg_dg.utils.checkpoint_reader import read_weights

ASSETS = Path(__file__).resolve().parent.parent / 'assets'
PREFIX = 'mmseg_dg://'


def shipped_names() -> list[str]:
    """Names of the weights in the package."""
    return sorted(path.stem for path in ASSETS.glob('*.safetensors'))


def shipped_file(address: str) -> Path:
    """The file behind ``mmseg_dg://NAME``.

    Raises:
        FileNotFoundError: The package has no such weights; the message lists those it has.
    """
    name = address[len(PREFIX):]
    if name not in shipped_names():
        raise FileNotFoundError(f'{address}: the package ships '
                                f'{", ".join(PREFIX + n for n in shipped_names())}, not {name!r}')
    return ASSETS / f'{name}.safetensors'


def card(name: str) -> dict[str, Any]:
    """What is known of shipped weights, as their ``NAME.json`` has it: origin, licenses, command,
    commit, seed, scores, SHA-256 of the file.

    Args:
        name: With or without ``mmseg_dg://``.
    """
    path = shipped_file(PREFIX + name.removeprefix(PREFIX))
    return json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))


def write_safetensors(state: Mapping[str, Tensor], path: Path,
                      metadata: Optional[dict[str, str]] = None) -> None:
    """Write a state dict in half precision; integer tensors (counters of BatchNorm) keep their
    type.

    Raises:
        ValueError: A value that half precision cannot hold.
    """
    from safetensors.torch import save_file
    small = {}
    for key, value in state.items():
        value = value.detach().cpu().contiguous()
        if value.is_floating_point():
            half = value.half()
            if not bool(torch.isfinite(half).all()):
                raise ValueError(f'{key} has values beyond half precision (largest '
                                 f'{float(value.abs().max()):.3g})')
            value = half
        small[key] = value.clone()  # no storage shared with another tensor, which is refused
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(small, str(path), metadata=metadata)


def register_shipped_weights() -> None:
    """Let mmengine's loader read ``mmseg_dg://NAME``; called by ``import mmseg_dg``."""
    from mmengine.runner.checkpoint import CheckpointLoader

    def load_from_package(filename: str, map_location: Any = None) -> dict:
        """What mmengine expects of a checkpoint: the state dict, and no meta information."""
        return dict(state_dict=read_weights(shipped_file(filename), map_location), meta=dict())

    CheckpointLoader.register_scheme(prefixes=PREFIX, loader=load_from_package, force=True)
