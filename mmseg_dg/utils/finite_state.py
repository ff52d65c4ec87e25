"""A training state or a weight file holds finite numbers only, or is refused with the names of
those that are not.
"""
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

#: Parts of a checkpoint that a run goes on from, or that a network is made of.
PARTS = ('state_dict', 'optimizer', 'ema_state_dict')
_NAMED = 3  # tensors a message names


def nonfinite_tensors(content: Any, name: str = '') -> Iterator[tuple[str, int, int]]:
    """``(dotted name, NaN or infinite values, values)`` of each tensor in nested dicts and lists
    that has some.
    """
    if isinstance(content, Tensor):
        if content.is_floating_point() and not content.is_meta:  # meta tensors have no values
            wrong = int(content.numel() - torch.isfinite(content).sum())
            if wrong:
                yield name, wrong, content.numel()
    elif isinstance(content, (Mapping, list, tuple)):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from nonfinite_tensors(value, f'{name}.{key}' if name else str(key))


def nonfinite_summary(content: Any) -> str:
    """Names the first tensors of a state that are not finite, with their counts; empty where all
    are.
    """
    found = list(nonfinite_tensors(content))
    named = '; '.join(f'{name}: {wrong} of {total} values' for name, wrong, total in found[:_NAMED])
    return named + (f'; and {len(found) - _NAMED} more tensors' if len(found) > _NAMED else '')


def refuse_nonfinite(checkpoint: Any, file: str) -> None:
    """Refuse weights, or a training state, with NaN or infinite values.

    Args:
        checkpoint: A checkpoint with ``state_dict`` (and perhaps ``optimizer``), or a plain state
            dict.
        file: Where it comes from, for the message.

    Raises:
        ValueError: It names the file and the first tensors.
    """
    parts = {
        key: checkpoint[key]
        for key in PARTS if isinstance(checkpoint, Mapping) and key in checkpoint
    }
    # without any of these parts it is a plain state dict
    summary = nonfinite_summary(parts or checkpoint)
    if summary:
        raise ValueError(f'{file} holds NaN or infinite numbers ({summary}): the run that wrote it '
                         'had diverged, or the file is damaged. Nothing can be learned or '
                         'predicted from it: use an earlier checkpoint, and lower the learning '
                         'rate before the run goes on')
