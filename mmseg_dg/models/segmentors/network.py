"""What a training method needs of a network, on top of MMSegmentation's segmentor interface.

A method never asks which network it trains. It calls these functions; a network with more than one
branch (HRDA) takes part by defining methods of the same names, which are preferred over the plain
encoder-decoder behaviour below.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.ops import CropBox, PixelView, at_least_float32, pixel_accuracy

_accuracy_wanted = True

#: What a multi-resolution network takes as its detail crop: one box for all images, one for each,
#: or a function that chooses one for each from the logits (B, C, h, w) of the whole images.
CropChoice = Union[CropBox, Sequence[CropBox], Callable[[Tensor], Sequence[CropBox]]]


class NetworkLosses(NamedTuple):
    """Result of one supervised forward pass.

    Attributes:
        losses: Named losses and accuracies; keys containing ``loss`` are summed into the objective.
        features: Encoder maps per scale, context scale first: ``[(level 0, ..., level n)]``.
            Single-scale networks give one entry.
        logits: Logits of the main head at the head's own stride, (B, C, h, w).
        decoder_features: Features of the main head before its dropout and classifier, (B, D, h, w),
            where the head gives them (``fused_features``); else None.
        views: What the main head's classifier saw and gave, one entry per resolution, context
            first; empty for heads without a classifier of feature maps (:class:`ClassifierTap`).
    """
    losses: dict[str, Tensor]
    features: list[Sequence[Tensor]]
    logits: Tensor
    decoder_features: Optional[Tensor] = None
    views: Sequence[PixelView] = ()


class ClassifierTap:
    """Within its context, what goes into a head's classifier and what comes out is noted; the head
    works as ever.

    Every head of MMSegmentation that predicts maps ends in ``cls_seg(features)``, which applies
    dropout and the
    classifier: its argument is the decoder's feature before dropout, whether the head has a name
    for it or not.

    Args:
        head: A decode head; one without ``cls_seg`` leaves nothing behind.

    Attributes:
        seen: Pairs (features (B, D, h, w), logits (B, C, h, w)) in the order of the calls.
    """
    def __init__(self, head: nn.Module) -> None:
        self.head = head
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> 'ClassifierTap':
        classify = getattr(self.head, 'cls_seg', None)
        if callable(classify):

            def noted(features: Any) -> Any:
                logits = classify(features)
                if all(isinstance(x, Tensor) and x.dim() == 4 for x in (features, logits)):
                    self.seen.append((features, logits))
                return logits

            # hides the method of the class, for this instance only
            self.head.__dict__['cls_seg'] = noted
        return self

    def __exit__(self, *_) -> None:
        self.head.__dict__.pop('cls_seg', None)


def main_head(network: nn.Module) -> nn.Module:
    """The decode head whose classifier gives a network's prediction (of HRDA the one both
    resolutions share).
    """
    head = network.decode_head
    return head.head if hasattr(head, 'fuse') and hasattr(head, 'head') else head


def draw_crop_box(network: nn.Module, image_size: tuple[int, int], rng) -> Optional[CropBox]:
    """The detail crop of one forward pass; None for a network without one.

    Args:
        network: A segmentor; multi-resolution ones define ``draw_crop_box(image_size, rng)``.
        image_size: (H, W) of the training crop.
        rng: :class:`numpy.random.RandomState`.
    """
    own = getattr(network, 'draw_crop_box', None)
    return None if own is None else own(image_size, rng)


def segmentation_losses(network: nn.Module, images: Tensor, labels: Tensor,
                        weight: Optional[Tensor] = None,
                        crop_box: Optional[CropChoice] = None) -> NetworkLosses:
    """Forward a batch and compute the losses of every head.

    Args:
        network: Segmentor with ``extract_feat`` and ``decode_head`` (and perhaps
            ``auxiliary_head``).
        images: Normalised images, (B, 3, H, W).
        labels: Class ids, (B, H, W) int64, 255 ignored.
        weight: Per-pixel weight of the loss, (B, H, W), or None. The mean runs over all pixels,
            ignored and zero-weighted ones included, as in the official code
            (docs/behavior/daformer_hrda.md#losses-of-both-scales).
        crop_box: Detail crop for networks that have one; the view of the detail says which it was.
    """
    own = getattr(network, 'segmentation_losses', None)
    if own is not None:
        return own(images, labels, weight=weight, crop_box=crop_box)
    features = network.extract_feat(images)
    with ClassifierTap(network.decode_head) as tap:
        logits, decoder_features = decode(network.decode_head, features)
    losses = {
        f'decode.{k}': v
        for k, v in head_losses(network.decode_head, logits, labels, weight).items()
    }
    for name, head in _auxiliary_heads(network):
        losses.update({
            f'{name}.{k}': v
            for k, v in head_losses(head, head(features), labels, weight).items()
        })
    views = [PixelView(*tap.seen[0])] if len(tap.seen) == 1 else []
    return NetworkLosses(losses, [features], main_logits(logits), decoder_features, views)


def pixel_views(network: nn.Module, images: Tensor,
                crop_box: Optional[CropChoice] = None) -> Sequence[PixelView]:
    """What :func:`segmentation_losses` gives as views of a batch (B, 3, H, W), without computing a
    loss.

    Args:
        network, images, crop_box: As there.
    """
    own = getattr(network, 'pixel_views', None)
    if own is not None:
        return own(images, crop_box=crop_box)
    features = network.extract_feat(images)
    with ClassifierTap(network.decode_head) as tap:
        decode(network.decode_head, features)
    return [PixelView(*tap.seen[0])] if len(tap.seen) == 1 else []


def decode(head: nn.Module,
           features: Sequence[Tensor]) -> tuple[Union[Tensor, Sequence[Tensor]], Optional[Tensor]]:
    """Logits of a head and, where it exposes them, the features its classifier sees (before
    dropout).
    """
    if not hasattr(head, 'fused_features'):
        return head(features), None
    fused = head.fused_features(features)
    return head.cls_seg(fused), fused


def main_logits(output: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    """The map a head predicts with: the first one of heads that give several (DAHead)."""
    return output if isinstance(output, Tensor) else output[0]


def head_losses(head: nn.Module, logits: Union[Tensor, Sequence[Tensor]], labels: Tensor,
                weight: Optional[Tensor] = None) -> dict[str, Tensor]:
    """The losses a decode head is configured with, per-pixel weights included.

    MMSegmentation's own ``loss_by_feat`` has no way to pass weights; apart from that this is the
    same computation.

    Args:
        head: ``BaseDecodeHead`` with ``loss_decode``, ``align_corners``, ``ignore_index`` and
            perhaps a ``sampler``.
        logits: (B, C, h, w), resized bilinearly to the label's size; or several such maps (DAHead),
            whose losses are named ``loss_ce``, ``branch1.loss_ce``, ... and all count.
        labels: (B, H, W) int64.
        weight: (B, H, W) or None.

    Raises:
        TypeError: The head gives something else than maps of logits.
    """
    if not isinstance(logits, Tensor):
        if not isinstance(logits, (list, tuple)) or not all(
                isinstance(x, Tensor) and x.dim() == 4 for x in logits):
            raise TypeError(f'{type(head).__name__} does not give maps of logits (B, C, h, w): '
                            'query-based heads are not supported by the training methods of this '
                            'package')
        losses = head_losses(head, logits[0], labels, weight)
        for i, branch in enumerate(logits[1:], start=1):
            values = head_losses(head, branch, labels, weight)
            losses.update({f'branch{i}.{k}': v for k, v in values.items() if 'loss' in k})
        return losses
    logits = F.interpolate(logits, size=labels.shape[-2:], mode='bilinear',
                           align_corners=head.align_corners)
    if getattr(head, 'sampler', None) is not None:
        sampled = head.sampler.sample(logits, labels.unsqueeze(1))
        weight = sampled if weight is None else weight * sampled
    modules = head.loss_decode if isinstance(head.loss_decode,
                                             nn.ModuleList) else [head.loss_decode]
    losses: dict[str, Tensor] = {}
    for module in modules:
        value = module(logits, labels, weight=weight, ignore_index=head.ignore_index)
        losses[module.loss_name] = losses[
            module.loss_name] + value if module.loss_name in losses else value
    if _accuracy_wanted:
        with torch.no_grad():
            losses['acc_seg'] = pixel_accuracy(logits.detach(), labels, head.ignore_index)
    return losses


@contextmanager
def accuracies(wanted: bool) -> Iterator[None]:
    """Inside, :func:`head_losses` computes the accuracy only if it is wanted: a training loop wants
    it where it is logged.
    """
    global _accuracy_wanted
    before, _accuracy_wanted = _accuracy_wanted, wanted
    try:
        yield
    finally:
        _accuracy_wanted = before


def style_images(network: nn.Module, images: Tensor) -> Tensor:
    """The images whose styles stand for a batch (B, 3, H, W): itself, or its context scale."""
    own = getattr(network, 'style_images', None)
    return images if own is None else own(images)


def _auxiliary_heads(network: nn.Module):
    heads = getattr(network, 'auxiliary_head', None)
    if heads is None:
        return []
    if isinstance(heads, nn.ModuleList):
        return [(f'aux_{i}', head) for i, head in enumerate(heads)]
    return [('aux', heads)]


def predict_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits at image resolution for pseudo-labels, (B, C, H, W); the whole training crop at once,
    no windows.
    """
    own = getattr(network, 'predict_logits', None)
    if own is not None:
        return own(images)
    logits = at_least_float32(main_logits(network.decode_head(network.extract_feat(images))))
    return F.interpolate(logits, size=images.shape[-2:], mode='bilinear',
                         align_corners=network.decode_head.align_corners)


def reference_features(network: nn.Module, encoder: nn.Module, images: Tensor,
                       crop_box: Optional[CropBox] = None) -> list[Sequence[Tensor]]:
    """Features of another encoder on the inputs (scales, crops) ``network`` would use, for the
    feature distance.

    Args:
        network: The student, which knows the scales.
        encoder: Frozen copy of its backbone. A neck is the student's own: those of this package
            have no parameters (they resize), and a distance behind a trained one would not be a
            distance of encoders.
        images: (B, 3, H, W).
        crop_box: The detail crop of the student's own pass.

    Returns:
        As :attr:`NetworkLosses.features`.
    """
    own = getattr(network, 'reference_features', None)
    if own is not None:
        return own(encoder, images, crop_box=crop_box)
    maps = encoder(images)
    return [network.neck(maps) if getattr(network, 'with_neck', False) else maps]


def distance_maps(network: nn.Module, features: list[Sequence[Tensor]], labels: Tensor, scale: str,
                  crop_box: Optional[CropBox] = None) -> list[tuple[Tensor, Tensor]]:
    """Pairs of (last-level features, labels of the same region) that enter the feature distance.

    Args:
        network: The student.
        features: As :attr:`NetworkLosses.features`.
        labels: (B, H, W).
        scale: ``'last'`` for the context scale, ``'all'`` for every scale.
        crop_box: The detail crop of the pass.
    """
    own = getattr(network, 'distance_maps', None)
    if own is not None:
        return own(features, labels, scale, crop_box=crop_box)
    return [(maps[-1], labels) for maps in features]
