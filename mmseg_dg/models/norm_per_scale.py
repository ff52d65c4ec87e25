"""BatchNorm with two sets of running statistics, for a network that reads images at two scales.

Weights and biases are shared. The first set has the names of every BatchNorm; that of the detail
scale lies beside it under ``detail_running_mean``, ``detail_running_var`` and
``detail_num_batches_tracked``. :func:`detail_statistics` exchanges the two for the passes of the
detail scale, so that whatever asks a layer for its statistics there (training, the teacher's
policies, a re-estimation) has the right ones.
"""
import logging
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.logging import print_log
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.weights.comparison import DETAIL, is_of_detail

_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


class TwoStatistics:
    """What a BatchNorm layer with a second set adds; a mixin, before the layer's class.

    The second set are three more buffers, called ``DETAIL`` (``'detail_'``) and the first's name;
    :func:`separate_statistics` registers them.
    """

    _buffers: dict[str, Any]  # of nn.Module: its buffers by name

    def swap_statistics(self) -> None:
        """Exchange the tensors of the two sets under their names; called twice, all is as before.
        """
        buffers = self._buffers
        for name in _STATISTICS:
            buffers[name], buffers[DETAIL + name] = buffers[DETAIL + name], buffers[name]

    def reset_running_stats(self) -> None:
        """Begin both sets anew (mean 0, variance 1, no batch counted)."""
        super().reset_running_stats()  # type: ignore[misc]  # of the layer: the first set
        for name in _STATISTICS:
            self._buffers[DETAIL + name].copy_(self._buffers[name])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Load the layer as BatchNorm does; a file with the first set alone, as ImageNet weights
        are, fills both sets.
        """
        _copy_to_detail(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)  # type: ignore[misc]


class TwoStatisticsBatchNorm1d(TwoStatistics, nn.BatchNorm1d):
    """See :class:`TwoStatistics`; made by :func:`separate_statistics` only."""


class TwoStatisticsBatchNorm2d(TwoStatistics, nn.BatchNorm2d):
    """See :class:`TwoStatistics`; made by :func:`separate_statistics` only."""


class TwoStatisticsSyncBatchNorm(TwoStatistics, SyncBatchNorm):
    """See :class:`TwoStatistics`; made by :func:`separate_statistics` only."""


_KINDS: dict[type, type] = {
    nn.BatchNorm1d: TwoStatisticsBatchNorm1d,
    nn.BatchNorm2d: TwoStatisticsBatchNorm2d,
    nn.SyncBatchNorm: TwoStatisticsSyncBatchNorm,
    SyncBatchNorm: TwoStatisticsSyncBatchNorm  # mmcv's 'SyncBN'
}


def separate_statistics(encoder: nn.Module, others: Iterable[nn.Module] = ()) -> int:
    """Give every BatchNorm layer a second set of running statistics, in place; it begins equal to
    the first.

    Args:
        encoder: Of the network.
        others: Further parts that both scales go through (neck, decode head).

    Returns:
        The number of layers.

    Raises:
        ValueError: The encoder has no BatchNorm with running statistics, a layer is of an unknown
            kind, or activations are recomputed in the backward pass, which would take the other
            set.
    """
    others = list(others)
    if not _tracking_layers(encoder):
        raise ValueError(
            f'norm_per_scale=True: {type(encoder).__name__} has no BatchNorm with running '
            'statistics, so that its two scales share none: leave norm_per_scale out')
    recomputing = [type(m).__name__ for m in encoder.modules() if getattr(m, 'with_cp', False)]
    if recomputing:
        raise ValueError(
            f'norm_per_scale=True: {recomputing[0]} recomputes activations in the backward pass '
            '(with_cp=True), where it would take the statistics of the other scale: set '
            'with_cp=False')
    layers = [layer for part in [encoder, *others] for layer in _tracking_layers(part)]
    for layer in layers:
        if type(layer) not in _KINDS:
            raise ValueError(
                f'norm_per_scale=True knows {sorted({kind.__name__ for kind in _KINDS})}, not '
                f'{type(layer).__name__}')
    for layer in layers:
        for name in _STATISTICS:
            layer.register_buffer(DETAIL + name, layer._buffers[name].clone())
        # the object stays and only its class changes: encoders and heads hold references to it, and
        # it may have hooks
        layer.__class__ = _KINDS[type(layer)]
    return len(layers)


def _tracking_layers(module: nn.Module) -> list[Any]:
    """BatchNorm layers at or below ``module`` that keep running statistics."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def detail_statistics(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, the BatchNorm layers of ``parts`` normalize with, and update, the statistics of the
    detail scale.

    Raises:
        RuntimeError: No layer has a second set.
    """
    layers = [m for part in parts for m in part.modules() if isinstance(m, TwoStatistics)]
    if not layers:
        raise RuntimeError('norm_per_scale=True, but no BatchNorm layer has a second set of '
                           'statistics: something has replaced the layers (sync_bn? write '
                           "norm_cfg=dict(type='SyncBN') instead)")
    for layer in layers:
        layer.swap_statistics()
    try:
        yield
    finally:
        for layer in layers:
            layer.swap_statistics()


def one_process(network: nn.Module) -> None:
    """Layers with two sets that are synchronized between processes become plain ones, in place.

    For an export. mmengine's ``revert_sync_batchnorm`` would put new layers in their place, which
    have the first set only.
    """
    for layer in network.modules():
        if isinstance(layer, TwoStatisticsSyncBatchNorm):
            layer.__class__ = TwoStatisticsBatchNorm2d  # type: ignore[assignment]


def match_statistics(module: nn.Module, state_dict: MutableMapping[str, Tensor], prefix: str = '',
                     *args: Any) -> None:
    """Pre-hook of ``load_state_dict``: a checkpoint of one set of statistics fills both, with a
    warning; one of two sets needs a network that has them.

    Args:
        module: That loads.
        state_dict: Changed in place.
        prefix: Of the module's names in it.
        *args: The other arguments of such hooks.

    Raises:
        ValueError: The checkpoint has statistics of a detail scale and the module has not.
    """
    # how the names of each layer with two sets begin: 'backbone.norm1.'
    layers = {
        f'{prefix}{path}.'
        for path, layer in module.named_modules() if isinstance(layer, TwoStatistics)
    }
    # statistics of a detail scale whose layer here has one set (or does not exist);
    # 'backbone.norm1.detail_running_mean' lies in the layer 'backbone.norm1.'
    surplus = [
        key for key in state_dict if key.startswith(prefix) and is_of_detail(key)
        and f'{key.rpartition(".")[0]}.' not in layers
    ]
    if surplus:
        raise ValueError(
            f'this checkpoint has BatchNorm statistics of the detail scale ({surplus[0]}, '
            f'{len(surplus)} tensors), the network of the config shares one set between its '
            'scales: set model.network.norm_per_scale=True, with which it was trained')
    # number of layers whose second set is now a copy of the first
    filled = sum([_copy_to_detail(state_dict, layer) for layer in sorted(layers)])
    if filled:
        print_log(
            f'norm_per_scale: the checkpoint has one set of BatchNorm statistics; the detail scale '
            f'begins with a copy of it ({filled} layers). Before it is judged as it is, estimate '
            'both anew (tools/analysis_tools/reestimate_statistics.py)', logger='current',
            level=logging.WARNING)


def _copy_to_detail(state_dict: MutableMapping[str, Tensor], prefix: str) -> bool:
    """Give a layer's detail set the values of the first, where a file has the first alone.

    Args:
        state_dict: Changed in place.
        prefix: Of the layer's names, with the dot at the end.

    Returns:
        Whether something was copied.
    """
    names = [name for name in _STATISTICS if prefix + name in state_dict]
    # no layer of that name, or a file that has both sets
    if 'running_mean' not in names or f'{prefix}{DETAIL}running_mean' in state_dict:
        return False
    for name in names:
        state_dict[prefix + DETAIL + name] = state_dict[prefix + name].clone()
    return True
