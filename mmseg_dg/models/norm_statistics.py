"""BatchNorm statistics of a network estimated anew on given images.

Shapes: B images, C channels, H x W pixels.
"""
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .segmentors.network import predict_logits


def norm_layers(network: nn.Module) -> list[_BatchNorm]:
    """BatchNorm layers that keep running statistics."""
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def collecting(layers: Sequence[_BatchNorm]) -> Iterator[Callable[[int], None]]:
    """Inside, running statistics start anew and become averages over the batches that pass, each
    weighted by its number of images. What is given is a function: called with a number of images
    before a prediction, it makes every pass of that prediction count so much, where a network cuts
    an image into several (HRDA's windows).

    The running mean is that of all images. The running variance is the average of the batches'
    unbiased variances; the variance between the means of batches is not in it, so that it comes
    near that of all images only with batches of several images each.

    The layers are in training mode inside and stay so afterwards; the caller puts the network into
    the mode it wants.

    Raises:
        ValueError: A layer gets a single value per channel, which has no variance: a batch of one
            image behind global pooling.
    """
    layers = list(dict.fromkeys(layers))  # a layer that is listed twice counts a batch once
    momenta = [layer.momentum for layer in layers]
    # images so far, by the running mean they went into: a layer may have two sets of statistics
    # (TwoStatistics), and be passed several times by a batch
    images_of: dict[int, int] = {}
    said: list[int] = []  # images of the prediction, where the caller has said so

    def holds(images: int) -> None:
        """Note the number of images of the predictions from now on."""
        said[:] = [images]

    def weigh(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Forward pre-hook: the share of this batch (B, C, ...) in the images so far."""
        batch, statistics = inputs[0], id(layer.running_mean)
        # the synchronized layer counts the values of all processes itself
        if batch.numel() == batch.shape[1] and not isinstance(layer, nn.SyncBatchNorm):
            raise ValueError(
                f'a BatchNorm layer of {batch.shape[1]} channels gets one value per channel (a '
                'batch of one image behind global pooling), which has no variance: estimate its '
                'statistics on batches of two images or more')
        images = said[0] if said else len(batch)
        images_of[statistics] = images_of.get(statistics, 0) + images
        layer.momentum = images / images_of[statistics]  # type: ignore[assignment]

    hooks = [layer.register_forward_pre_hook(weigh) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average until the hook says better
        layer.train()
    try:
        yield holds
    finally:
        for layer, momentum, hook in zip(layers, momenta, hooks):
            hook.remove()
            layer.momentum = momentum


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of every BatchNorm layer by those of ``batches``, weighted by
    their images (:func:`collecting`); no weight is changed.

    Each layer normalizes with the statistics of the batch while they are collected, so that later
    layers see features of the distribution they will see afterwards. Source: Li et al., "Revisiting
    Batch Normalization For Practical Domain Adaptation" (2016), adaptive batch normalization.

    Args:
        network: A segmentor; left in evaluation mode.
        batches: Preprocessed images (B, 3, H, W).

    Returns:
        The number of images.

    Raises:
        ValueError: No BatchNorm layer, no images, or a batch of one image in a network with a
            BatchNorm layer behind global pooling.
    """
    layers = norm_layers(network)
    if not layers:
        raise ValueError(f'{type(network).__name__} has no BatchNorm layer with running '
                         'statistics: there is nothing to estimate')
    network.eval()  # all but the BatchNorm layers, which ``collecting`` puts into training mode
    count = 0
    with collecting(layers) as holds:
        for images in batches:
            holds(len(images))
            # a whole prediction, so that all parts run (HRDA: on both scales); only the statistics
            # that the layers collect meanwhile are wanted
            predict_logits(network, images)
            count += len(images)
    network.eval()  # the BatchNorm layers again, too
    if count == 0:
        raise ValueError('no images to estimate BatchNorm statistics on')
    return count
