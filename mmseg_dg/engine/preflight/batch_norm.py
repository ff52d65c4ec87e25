"""BatchNorm that would get one value per channel: pooling to 1x1 in a forward pass of one image.

Shapes: B images, C channels, H x W pixels.
"""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import numpy as np
import torch
from mmengine.dist import get_world_size
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.models.segmentors.network import draw_crop_box, segmentation_losses
from mmseg_dg.ops.pairs import pair

from .samples import load_sample


class OneValueError(ValueError):
    """A BatchNorm layer in training mode got one value per channel."""


def check_batch_norm(method: Any, loaders: Any) -> None:
    """Try the shapes of every forward pass of one image, without memory, weights or results.

    Torch says "Expected more than 1 value per channel when training" in iteration 0, without a
    name. Where the shapes cannot be tried, the layers are watched instead, and the error in
    iteration 0 has the names.

    Args:
        method: The training method; :meth:`forward_sizes` says how many images pass its network
            together.
        loaders: The streams.

    Raises:
        ValueError: A layer that cannot be trained so; with stream, ``batch_size`` and layer.
    """
    # {what passes, in words: a stream whose image it has}
    single_image_passes = {
        text: name
        for text, (name, count) in _passes(method, loaders).items() if count == 1
    }
    if not single_image_passes:
        return
    method.train()  # as the loop does: norm_eval and frozen stages are in effect
    for text, name in single_image_passes.items():
        size = tuple(load_sample(name, loaders[name].dataset, 0)['inputs'].shape)  # (C, H, W)
        # False: not every layer could be reached; hooks on all of them raise in iteration 0 instead
        if not _try_shapes(method.student, size, text):
            _watch(method, ' or '.join(single_image_passes))
            return


def _passes(method: Any, loaders: Any) -> dict[str, tuple[str, int]]:
    """The forward passes of a step, ``{what passes, in words: (a stream in it, its images)}``."""
    return method.forward_sizes({name: loader.batch_size for name, loader in loaders.items()})


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    """Batch-normalization layers by name whose statistics are of this process's images only."""
    several = get_world_size() > 1
    return {
        name: module
        for name, module in network.named_modules() if isinstance(module, _BatchNorm)
        # its statistics are of all processes
        and not (several and isinstance(module, nn.SyncBatchNorm))
    }


def _refuse(name: str, channels: int, text: str) -> None:
    """Raise that a layer sees one value per channel; ``text`` says where."""
    raise OneValueError(
        f'{text}: BatchNorm layer {name} gets one value per channel, an input of shape (1, '
        f'{channels}, 1, 1), and can train on no variance. Set batch_size=2 or more for this '
        'stream, or norm_eval=True of the model (running statistics), or give that part another '
        "norm_cfg, e.g. dict(type='GN', num_groups=32)")


@contextmanager
def _hooks(layers: dict[str, nn.Module], text: str, seen: Optional[set] = None) -> Iterator[None]:
    """:func:`_add_hooks` for the time inside."""
    handles = _add_hooks(layers, text, seen)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _add_hooks(layers: dict[str, nn.Module], text: str, seen: Optional[set] = None) -> list:
    """Let layers refuse, in their forward pass, an input of one value per channel.

    Args:
        layers: By the name that the message shall have.
        text: What passes the network, in words.
        seen: Collects the names of the layers that ran.

    Returns:
        Handles that remove the hooks.
    """
    def hook_of(name: str) -> Callable[[nn.Module, tuple], None]:
        """The hook of one layer, which must know the layer's name."""
        def hook(module: nn.Module, inputs: tuple) -> None:
            """Called by torch before the layer's forward pass."""
            x = inputs[0]  # (B, C, ...): as many numbers as channels are one value for each
            if module.training and x.dim() > 1 and x.numel() == x.shape[1]:
                _refuse(name, x.shape[1], text)
            if seen is not None:
                seen.add(name)

        return hook

    return [module.register_forward_pre_hook(hook_of(name)) for name, module in layers.items()]


class _Losses(nn.Module):
    """``segmentation_losses`` of images (1, 3, H, W) and labels (1, H, W) as a module, so that its
    tensors can be exchanged."""
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """The pass of training for ``images`` (1, C, H, W) and ``labels`` (1, H, W); its losses are
        dropped, as only shapes matter.
        """
        # the detail crop of HRDA, None for other networks
        box = draw_crop_box(self.network, pair(images.shape[-2:]), np.random.RandomState(0))
        segmentation_losses(self.network, images, labels, crop_box=box)


def _try_shapes(network: nn.Module, size: tuple[int, int, int], text: str) -> bool:
    """Forward one image of ``size`` (C, H, W) on the meta device, where tensors have shapes only.

    Returns:
        Whether every trained layer was reached: False where an operation needs values.

    Raises:
        OneValueError: A layer would see one value per channel; ``text`` says in which pass.
    """
    shell = _Losses(network)
    # stands in for weights and statistics during the call: the same shapes, no memory
    state = {
        name: torch.empty_like(tensor, device='meta', requires_grad=False)
        for name, tensor in [*shell.named_parameters(), *shell.named_buffers()]
    }
    images = torch.empty(1, *size, device='meta')
    labels = torch.zeros(1, *size[1:], device='meta', dtype=torch.long)
    layers = _layers(network)
    trained = {name for name, module in layers.items() if module.training}
    seen: set[str] = set()
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _hooks(
        {f'model.network.{name}': module
         for name, module in layers.items()}, text, seen):
        try:
            torch.func.functional_call(shell, state, (images, labels))
        except OneValueError:
            raise
        except Exception:  # an operation that needs values; every layer before it has been seen
            pass
    return {f'model.network.{name}' for name in trained} <= seen


def _watch(method: Any, text: str) -> None:
    """Leave hooks in the layers of all networks that raise, with the layer's name, once a layer
    sees one value per channel in training; ``text`` says which pass that may be.
    """
    hooked: set[int] = set()  # ids of layers: networks may share one, which gets one hook
    for network_name, network in method.networks().items():
        layers = {
            f'{network_name}.{name}': module
            for name, module in _layers(network).items() if id(module) not in hooked
        }
        hooked |= {id(module) for module in layers.values()}
        _add_hooks(layers, text)
