"""A network beside a state dict: which tensors fit, without loading any."""
from collections.abc import Mapping
from typing import NamedTuple

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmseg_dg.registry import MODELS


class LoadedShare(NamedTuple):
    """How much of a module a checkpoint fills: tensors with the same name and shape."""

    matched: int
    total: int
    missing: list
    unexpected: list

    @property
    def share(self) -> float:
        """In [0, 1]; 1 for a module without tensors."""
        return self.matched / self.total if self.total else 1.


def build_on_meta(config: Mapping) -> nn.Module:
    """A network (or part of one) to compare with: names and shapes, no memory for weights.

    Args:
        config: It must name no weight file, see :func:`mmseg_dg.weights.files.without_pretrained`.
    """
    init_default_scope('mmseg_dg')
    with torch.device('meta'):
        return MODELS.build(config)


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> LoadedShare:
    """Names and shapes of a module against those of a state dict, without loading.

    ``num_batches_tracked`` of BatchNorm is left out: older files lack it and nothing here reads it. So are prototypes
    of styles and adapters that the file lacks: they are computed when training begins.
    """
    ours = {k: v for k, v in module.state_dict().items() if not k.endswith('num_batches_tracked')
            and (k in state or not any(mark in k for mark in ('style_hallucination.proto_', '.lora_')))}
    matched = [k for k, v in ours.items() if k in state and state[k].shape == v.shape]
    missing = sorted(set(ours) - set(matched))
    unexpected = sorted(k for k in state if k not in ours and not k.endswith('num_batches_tracked'))
    return LoadedShare(len(matched), len(ours), missing, unexpected)
