"""BatchNorm statistics of a network estimated anew on given images.

Shapes: B images, H x W pixels.
"""
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .segmentors.network import predict_logits


def norm_layers(network: nn.Module) -> list[_BatchNorm]:
    """BatchNorm layers that keep running statistics."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def collecting(layers: Sequence[_BatchNorm]) -> Iterator[None]:
    """Inside, running statistics start anew and become the plain average over the batches that
    pass.

    The layers are in training mode inside and stay so afterwards; the caller puts the network into
    the mode it wants.
    """
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # plain average over the batches instead of an exponential one
        layer.train()
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every BatchNorm layer by those of ``batches``; no weight is
    changed.

    Each layer normalizes with the statistics of the batch while they are collected, so that later
    layers see features of the distribution they will see afterwards. Source: Li et al., "Revisiting
    Batch Normalization For Practical Domain Adaptation" (2016), adaptive batch normalization.

    Args:
        network: A segmentor; left in evaluation mode.
        batches: Preprocessed images (B, 3, H, W).

    Returns:
        The number of images.

    Raises:
        ValueError: No BatchNorm layer, or no images.
    """
    layers = norm_layers(network)
    if not layers:
        raise ValueError(f'{type(network).__name__} has no BatchNorm layer with running '
                         'statistics: there is nothing to estimate')
    network.eval()  # all but the BatchNorm layers, which ``collecting`` puts into training mode
    count = 0
    with collecting(layers):
        for images in batches:
            # a whole prediction, so that all parts run (HRDA: on both scales); only the statistics
            # that the layers collect meanwhile are wanted
            predict_logits(network, images)
            count += len(images)
    network.eval()  # the BatchNorm layers again, too
    if count == 0:
        raise ValueError('no images to estimate BatchNorm statistics on')
    return count
