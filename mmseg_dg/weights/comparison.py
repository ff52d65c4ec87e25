"""A network beside a state dict: which tensors fit, without loading any."""
from collections.abc import Mapping
from typing import Callable, NamedTuple

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmseg_dg.registry import MODELS

#: How the names of BatchNorm statistics of a detail scale begin
#: (:mod:`mmseg_dg.models.norm_per_scale`).
DETAIL = 'detail_'


class LoadedShare(NamedTuple):
    """How much of a module a checkpoint fills: tensors with the same name and shape.

    Attributes:
        matched: Number of the module's tensors that the checkpoint fills.
        total: Number of the module's tensors, without those that :func:`compare` leaves out.
        missing: Their names that the checkpoint lacks or has in another shape, sorted.
        unexpected: Names of the checkpoint that the module lacks, sorted.
    """

    matched: int
    total: int
    missing: list
    unexpected: list

    @property
    def share(self) -> float:
        """In [0, 1]; 1 for a module without tensors."""
        return self.matched / self.total if self.total else 1.


def build_on_meta(config: Mapping) -> nn.Module:
    """A network (or part of one) on torch's meta device, to compare names and shapes with: it has
    no memory for weights.

    Args:
        config: Of the network. It must name no weight file, see
            :func:`mmseg_dg.weights.files.without_pretrained`.
    """
    init_default_scope('mmseg_dg')
    with torch.device('meta'):
        return MODELS.build(config)


class Difference(NamedTuple):
    """How the tensors of a file differ from those of a module.

    Attributes:
        missing: Names the file lacks, in the module's order.
        unexpected: Names the module lacks, in the file's order.
        shapes: ``(name, shape in the file, shape in the module)`` of tensors both have, where the
            shapes differ.
    """
    missing: list[str]
    unexpected: list[str]
    shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]]

    def shape_lines(self) -> list[str]:
        """``weight (2, 3) instead of (2, 4)``, the file's shape first."""
        return [f'{name} {theirs} instead of {ours}' for name, theirs, ours in self.shapes]


#: Parts of the names of tensors that a weight file need not have: prototypes of styles and
#: low-rank adapters begin when training does.
_MADE_IN_TRAINING = ('style_hallucination.proto_', '.lora_')


def is_of_detail(name: str) -> bool:
    """Whether a tensor is a BatchNorm statistic of the detail scale: ``detail_running_var`` ..."""
    return name.rpartition('.')[2].startswith((f'{DETAIL}running_', f'{DETAIL}num_batches'))


def _nothing(name: str) -> bool:
    """The default of :func:`difference`: no name may be missing."""
    return False


def difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor],
               may_lack: Callable[[str], bool] = _nothing,
               may_exceed: Callable[[str], bool] = _nothing) -> Difference:
    """Names and shapes of two state dicts.

    Args:
        ours: Of the module.
        theirs: Of the file, under the same names.
        may_lack: Whether a name may be missing in the file.
        may_exceed: Whether a name may be missing in the module.

    Returns:
        Names the file lacks, names the module lacks, and (name, shape in the file, shape in the
        module) where shapes differ.
    """
    return Difference(
        missing=[name for name in ours if name not in theirs and not may_lack(name)],
        unexpected=[name for name in theirs if name not in ours and not may_exceed(name)],
        shapes=[(name, tuple(theirs[name].shape), tuple(value.shape))
                for name, value in ours.items()
                if name in theirs and theirs[name].shape != value.shape])


def compare(module: nn.Module, state: Mapping[str, Tensor]) -> LoadedShare:
    """How much of a module a state dict fills, without loading.

    ``num_batches_tracked`` of BatchNorm is left out: older files lack it and nothing here reads it.
    So are prototypes of styles and adapters that the file lacks, which are computed when training
    begins, and statistics of a detail scale, which begin as those of the file.

    Args:
        module: The module.
        state: Of the file, under the module's names.
    """
    ours = {}  # the module's tensors that the file should have
    for name, value in module.state_dict().items():
        optional = is_of_detail(name) or any(mark in name for mark in _MADE_IN_TRAINING)
        if not _is_counter(name) and (name in state or not optional):
            ours[name] = value
    found = difference(ours, state, may_exceed=_is_counter)
    # a tensor of another shape is not filled either
    missing = sorted([*found.missing, *(name for name, *_ in found.shapes)])
    return LoadedShare(len(ours) - len(missing), len(ours), missing, sorted(found.unexpected))


def _is_counter(name: str) -> bool:
    """Whether a tensor counts the batches that a BatchNorm has seen."""
    return name.endswith('num_batches_tracked')
