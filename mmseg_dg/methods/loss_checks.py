"""Checks of heads and their losses when a method is built: one channel, class weights, losses that
ignore weights.

Shapes: B images, C classes, H x W pixels.
"""
import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from mmseg_dg.ops.labels import MOST_CLASSES, too_many_classes


def check_network_config(network: Mapping) -> None:
    """Check the decode heads of a network's config, before the network is built.

    Args:
        network: Config of a segmentor.

    Raises:
        ValueError: One output channel, one class, or more classes than a mask can name.
    """
    for path, head in _head_configs(network, 'model.network'):
        classes = head.get('num_classes')
        if head.get('out_channels') == 1:
            raise ValueError(
                f'{path}.out_channels=1: one channel with a sigmoid and a threshold cannot be '
                'trained here, because pseudo-labels and scores take the class with the largest '
                'softmax probability, and of one channel that is class 0 with confidence 1 '
                f'everywhere. Remove out_channels and threshold of {path} and use_sigmoid of its '
                'loss_decode: num_classes=2 gives background and object a channel each')
        if classes == 1:
            raise ValueError(
                f'{path}.num_classes=1: one class is everywhere, there is nothing to learn. Name '
                "the background as a class of its own: classes=['background', ...] of the datasets "
                f'and {path}.num_classes=2')
        if isinstance(classes, int) and classes > MOST_CLASSES:
            raise ValueError(too_many_classes(f'{path}.num_classes={classes}', classes))


def _head_configs(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """``(dotted key, config)`` of every decode head below ``path``; heads within heads (HRDA) too.
    """
    for key in ('decode_head', 'auxiliary_head', 'head'):
        value = node.get(key) if isinstance(node, Mapping) else None
        several = isinstance(value, (list, tuple))  # mmseg allows a list of auxiliary heads
        heads: Sequence = value if isinstance(value, (list, tuple)) else [value]
        for i, head in enumerate(heads):
            if isinstance(head, Mapping):
                here = f'{path}.{key}.{i}' if several else f'{path}.{key}'
                yield here, head
                yield from _head_configs(head, here)


def value_of(module: nn.Module, name: str) -> Any:
    """What a head or loss of any library has under a name of its config; None where it has nothing.

    Their classes share no base that has these attributes.
    """
    return getattr(module, name, None)


def heads_of(network: nn.Module) -> Iterator[tuple[str, BaseDecodeHead]]:
    """``(dotted key of its config, head)`` of every built decode head whose losses are used.

    HRDA's attention is built as a head, with a loss it never uses: it is left out.
    """
    for name, module in network.named_modules():
        if 'scale_attention' not in name and None not in (value_of(
                module, 'loss_decode'), value_of(module, 'num_classes')):
            yield f'model.network.{name}', module


def losses_of(head: BaseDecodeHead, path: str) -> Iterator[tuple[str, nn.Module]]:
    """``(dotted key of its config, module)`` of every loss of a head; ``path`` is the head's key.
    """
    several = isinstance(head.loss_decode, (nn.ModuleList, list, tuple))
    for i, loss in enumerate(head.loss_decode if several else [head.loss_decode]):
        yield (f'{path}.loss_decode.{i}' if several else f'{path}.loss_decode'), loss


def check_losses(network: nn.Module, weighted: bool, owner: str) -> None:
    """Check that class weights fit the head's classes, and that every loss heeds the weights of
    pixels.

    Args:
        network: A segmentor.
        weighted: Whether the method weighs pixels; a head with a pixel sampler does in any case.
        owner: Name of the method.

    Raises:
        ValueError: A ``class_weight`` (or list of ``alpha``) of another length than
            ``num_classes``, a loss that fails on logits and class ids, or one that does not heed
            the weights.
    """
    if torch.empty(0).device.type == 'meta':
        return  # built without memory, to be looked at
    for path, head in heads_of(network):
        for where, loss in losses_of(head, path):
            _check_class_weights(loss, where, head.num_classes)
            if isinstance(head.ignore_index, int):
                _probe(loss, where, head, weighted or value_of(head, 'sampler') is not None, owner)


def _check_class_weights(loss: nn.Module, where: str, num_classes: int) -> None:
    """Refuse (ValueError) weights per class that are not one per class."""
    for name in ('class_weight', 'alpha'):
        values = value_of(loss, name)
        # one number is for all classes, a string names a file that mmseg reads
        if values is None or isinstance(values, (int, float, str)):
            continue
        if len(values) != num_classes:
            raise ValueError(f'{where}.{name} has {len(values)} values for '
                             f'num_classes={num_classes}: give one per class, in the order of the '
                             'classes')


def _probe(loss: nn.Module, where: str, head: BaseDecodeHead, weighted: bool, owner: str) -> None:
    """Try a loss on two small random maps; refuse (ValueError) one that fails on them or does not
    heed the weights of pixels.

    With all weights 0 it must be 0, with all weights 1 as without weights.

    Args:
        loss: A loss of the head; a copy is called.
        where: Its dotted key, for messages.
        head: Gives the number of classes and the ignored id.
        weighted: Whether pixels will be weighed at all.
        owner: Name of the method, for messages.
    """
    generator = torch.Generator().manual_seed(0)
    # (B, C, H, W), (B, H, W); drawn apart from the run's own random numbers
    logits = torch.randn(2, head.num_classes, 8, 8, generator=generator)
    labels = torch.randint(0, head.num_classes, (2, 8, 8), generator=generator)
    labels[:, 0] = head.ignore_index  # real labels have ignored pixels, too
    kind = f'{where}: {type(loss).__name__}'
    probe = copy.deepcopy(loss)  # some count their calls

    def value(weight: Optional[torch.Tensor]) -> float:
        """The loss on the two maps, with a weight (B, H, W) per pixel, or None for none."""
        return float(probe(logits, labels, weight=weight, ignore_index=head.ignore_index))

    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            plain = value(None)
        except Exception as error:
            raise ValueError(f'{kind} cannot be trained by {owner}, which calls loss(logits (B, C, '
                             'H, W), class ids (B, H, W), weight=..., ignore_index=...) and wants '
                             f'one number: {type(error).__name__}: {error}') from error
        if not weighted:
            return
        advice = (f'{owner} weighs pixels by confidence, margins and padding. Use '
                  'CrossEntropyLoss, DiceLoss, FocalLoss, LovaszLoss, TverskyLoss, '
                  'OhemCrossEntropy or OHEMCrossEntropyLoss, or give your loss an argument weight '
                  '(B, H, W) that multiplies its pixels')
        try:
            none, full = (value(torch.full((2, 8, 8), factor)) for factor in (0., 1.))
        except Exception as error:
            raise ValueError(f'{kind} takes no weight per pixel ({type(error).__name__}: {error}), '
                             f'but {advice}') from error
    # 1e-4: float32 sums in another order
    if none != 0 or abs(full - plain) > 1e-4 * max(1., abs(plain)):
        raise ValueError(f'{kind} does not heed the weight of pixels: {none:.4g} with all weights '
                         f'0 instead of 0, {full:.4g} with all weights 1 instead of {plain:.4g}, '
                         f'but {advice}')
