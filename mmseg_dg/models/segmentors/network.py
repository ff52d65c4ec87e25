"""What a training method needs of a network, on top of MMSegmentation's segmentor interface.

A method never asks which network it trains. It calls the functions of this module; a network that
answers otherwise than one encoder with one decode head (HRDA) subclasses
:class:`TrainableSegmentor` and overrides what differs. Segmentors of MMSegmentation itself are
taken as plain encoder-decoders.

Shapes: B images, C classes (of maps: channels), D channels, H x W pixels, h x w places of a smaller
map.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from mmseg_dg.models.decode_heads.classifier import (
    Decoded,
    FusesScales,
    Logits,
    decode,
    main_logits,
)
from mmseg_dg.ops import CropBox, PixelView, at_least_float32, pixel_accuracy
from mmseg_dg.ops.resize import resize
from mmseg_dg.utils.interfaces import public_names, refuse_near_misses
from mmseg_dg.utils.modules import child
from mmseg_dg.utils.pass_result import PassResult

#: Whether :func:`head_result` computes the accuracy; only :func:`accuracies` changes it.
_accuracy_wanted = True

#: Detail crops: one box for all images, or one for each.
Boxes = Union[CropBox, Sequence[CropBox]]
#: What a multi-resolution network takes as its detail crop: one box for all images, one for each,
#: or a function that chooses one for each from the logits (B, C, h, w) of the whole images.
CropChoice = Union[CropBox, Sequence[CropBox], Callable[[Tensor], Sequence[CropBox]]]


class NetworkLosses(NamedTuple):
    """Result of one supervised forward pass.

    Attributes:
        terms: Losses, which are summed into the objective, and accuracies for the log.
        features: Encoder maps per scale, context scale first: ``[(level 0, ..., level n)]``.
            Single-scale networks give one entry.
        logits: Logits of the main head at the head's own stride, (B, C, h, w).
        decoder_features: Features of the main head before its dropout and classifier, (B, D, h, w),
            where the head gives them (``fused_features``); else None.
        views: What the main head's classifier saw and gave, one entry per resolution, context
            first; empty for heads without a classifier of feature maps.
    """
    terms: PassResult
    features: list[Sequence[Tensor]]
    logits: Tensor
    decoder_features: Optional[Tensor] = None
    views: Sequence[PixelView] = ()

    @property
    def losses(self) -> dict[str, Tensor]:
        """Named losses."""
        return self.terms.losses

    @property
    def logs(self) -> dict[str, Tensor]:
        """Named accuracies and other numbers for the log."""
        return self.terms.logs


class TrainableSegmentor:
    """Base class of segmentors that training methods ask for more than MMSegmentation's interface
    gives.

    The answers here are those of one encoder with one decode head. A subclass lists this class
    before its segmentor (``class HRDAEncoderDecoder(TrainableSegmentor, EncoderDecoder)``) and
    overrides what differs; a misspelled override is an error when the class is defined.
    """

    #: Whether a method may run encoder and decode head itself: each image passes both once, as it
    #: is.
    plain = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse (TypeError) a subclass that defines a name which is nearly one of this interface.
        """
        super().__init_subclass__(**kwargs)
        refuse_near_misses(cls, TrainableSegmentor)

    @property
    def segmentor(self) -> Any:
        """The segmentor whose ``extract_feat`` and ``decode_head`` the methods of this class call:
        the object itself, but for :class:`_Plain`.
        """
        return self

    def draw_crop_box(self, image_size: tuple[int, int], rng: Any) -> Optional[CropBox]:
        """See :func:`draw_crop_box`."""
        return None

    def segmentation_losses(self, images: Tensor, labels: Tensor, weight: Optional[Tensor] = None,
                            crop_box: Optional[CropChoice] = None) -> NetworkLosses:
        """See :func:`segmentation_losses`."""
        network = self.segmentor
        features = network.extract_feat(images)
        decoded = decode(network.decode_head, features)
        terms = head_result(network.decode_head, decoded.logits, labels, weight).prefixed('decode')
        terms = terms.joined(*auxiliary_losses(network, features, labels, weight))
        return NetworkLosses(terms=terms, features=[features], logits=main_logits(decoded.logits),
                             decoder_features=decoded.features, views=views_of(decoded))

    def pixel_views(self, images: Tensor,
                    crop_box: Optional[CropChoice] = None) -> Sequence[PixelView]:
        """See :func:`pixel_views`."""
        network = self.segmentor
        return views_of(decode(network.decode_head, network.extract_feat(images)))

    def style_images(self, images: Tensor) -> Tensor:
        """See :func:`style_images`."""
        return images

    def predict_logits(self, images: Tensor) -> Tensor:
        """See :func:`predict_logits`."""
        network = self.segmentor
        logits = at_least_float32(main_logits(network.decode_head(network.extract_feat(images))))
        return F.interpolate(logits, size=images.shape[-2:], mode='bilinear',
                             align_corners=network.decode_head.align_corners)

    def reference_features(self, encoder: nn.Module, images: Tensor,
                           crop_box: Optional[CropBox] = None) -> list[Sequence[Tensor]]:
        """See :func:`reference_features`."""
        network, maps = self.segmentor, encoder(images)
        return [network.neck(maps) if network.with_neck else maps]

    def distance_maps(self, features: list[Sequence[Tensor]], labels: Tensor, scale: str,
                      crop_box: Optional[CropBox] = None) -> list[tuple[Tensor, Tensor]]:
        """See :func:`distance_maps`."""
        return [(maps[-1], labels) for maps in features]


class _Plain(TrainableSegmentor):
    """The interface for a segmentor that does not have it: a wrapper, no module, around a plain
    encoder-decoder of MMSegmentation.
    """
    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @property
    def segmentor(self) -> Any:
        """The wrapped segmentor."""
        return self._network


def interface_of(network: nn.Module) -> TrainableSegmentor:
    """The network itself if it has the interface, else a wrapper that answers as for a plain
    encoder-decoder.
    """
    return network if isinstance(network, TrainableSegmentor) else _Plain(network)


def check_interface(network: nn.Module) -> None:
    """Refuse a network that defines a method of :class:`TrainableSegmentor`'s interface without
    being one: nobody would call it.

    Raises:
        ValueError: It defines one without being a :class:`TrainableSegmentor`.
    """
    if isinstance(network, TrainableSegmentor):
        return
    defined = {name for cls in type(network).__mro__ for name in vars(cls)}
    # ``plain`` and ``segmentor`` are no methods, and a foreign class may use the names otherwise
    unheard = sorted(defined & (public_names(TrainableSegmentor) - {'plain', 'segmentor'}))
    if unheard:
        kind = type(network).__name__
        raise ValueError(f'{kind} defines {", ".join(unheard)}, but is no TrainableSegmentor, so '
                         f'that nobody would call it: class {kind}(TrainableSegmentor, ...), from '
                         f'{__name__}')


def main_head(network: BaseSegmentor) -> BaseDecodeHead:
    """The decode head whose classifier gives a network's prediction (of HRDA the one both
    resolutions share).
    """
    head = network.decode_head
    return network.decode_head.head if isinstance(head, FusesScales) else head


def draw_crop_box(network: nn.Module, image_size: tuple[int, int], rng: Any) -> Optional[CropBox]:
    """The detail crop (y1, y2, x1, x2) of one forward pass; None for a network without one.

    Args:
        network: A segmentor.
        image_size: (H, W) of the training crop.
        rng: :class:`numpy.random.RandomState`.
    """
    return interface_of(network).draw_crop_box(image_size, rng)


def segmentation_losses(network: nn.Module, images: Tensor, labels: Tensor,
                        weight: Optional[Tensor] = None,
                        crop_box: Optional[CropChoice] = None) -> NetworkLosses:
    """Forward a batch and compute the losses of every head.

    Args:
        network: Segmentor with ``extract_feat`` and ``decode_head`` (and perhaps
            ``auxiliary_head``).
        images: Normalized images, (B, 3, H, W).
        labels: Class ids, (B, H, W) int64, 255 ignored.
        weight: Per-pixel weight of the loss, (B, H, W), or None. The mean runs over all pixels,
            ignored and zero-weighted ones included, as in the official code
            (docs/behavior/daformer_hrda.md#losses-of-both-scales).
        crop_box: Detail crop for networks that have one; the view of the detail says which it was.

    Returns:
        Losses by name, encoder features, logits, and the views that alignment terms take.
    """
    return interface_of(network).segmentation_losses(images, labels, weight=weight,
                                                     crop_box=crop_box)


def pixel_views(network: nn.Module, images: Tensor,
                crop_box: Optional[CropChoice] = None) -> Sequence[PixelView]:
    """Features and logits of a batch's pixels before resizing, for alignment terms, without a loss.

    Args:
        network: As of :func:`segmentation_losses`.
        images: Normalized, (B, 3, H, W).
        crop_box: Detail crop, for networks that have one.

    Returns:
        One view with features (B, D, h, w) and logits (B, C, h, w) per resolution: one, or context
        and detail; the view of the detail says which crop was taken.
    """
    return interface_of(network).pixel_views(images, crop_box=crop_box)


def views_of(decoded: Decoded) -> list[PixelView]:
    """One view of a head whose classifier was called once; an empty list where it was called never
    or several times (DAHead), so that no one call stands for the prediction.
    """
    return [PixelView(*decoded.calls[0])] if len(decoded.calls) == 1 else []


def head_result(head: BaseDecodeHead, logits: Logits, labels: Tensor,
                weight: Optional[Tensor] = None) -> PassResult:
    """The losses a decode head is configured with, per-pixel weights included, and its accuracy.

    MMSegmentation's own ``loss_by_feat`` has no way to pass weights; apart from that this is the
    same computation, and the names are those of the configs: a module of ``loss_decode`` whose
    ``loss_name`` is without ``loss`` is only logged, as in MMSegmentation.

    Args:
        head: ``BaseDecodeHead`` with ``loss_decode``, ``align_corners``, ``ignore_index`` and
            perhaps a ``sampler``.
        logits: (B, C, h, w), resized bilinearly to the label's size; or several such maps (DAHead),
            whose losses are named ``loss_ce``, ``branch1.loss_ce``, ... and all count.
        labels: (B, H, W) int64.
        weight: (B, H, W) or None.

    Returns:
        Losses by the names of the config, and ``acc_seg`` (percent) as a log value, unless
        :func:`accuracies` has switched it off.

    Raises:
        TypeError: The head gives something else than maps of logits.
    """
    if not isinstance(logits, Tensor):
        if not isinstance(logits, (list, tuple)) or not all(
                isinstance(x, Tensor) and x.dim() == 4 for x in logits):
            raise TypeError(f'{type(head).__name__} does not give maps of logits (B, C, h, w): '
                            'query-based heads are not supported by the training methods of this '
                            'package')
        first, *branches = (head_result(head, maps, labels, weight) for maps in logits)
        # of the branches only the losses: the accuracy is that of the first map, which predicts
        return first.joined(*(PassResult(branch.losses).prefixed(f'branch{i}')
                              for i, branch in enumerate(branches, start=1)))
    if logits.device.type == 'cpu':
        # one class after the other in memory: resizing and cross-entropy of few maps are faster so
        logits = logits.contiguous()
    logits = resize(logits, labels.shape[-2:], head.align_corners)
    if getattr(head, 'sampler', None) is not None:
        # mmseg's pixel sampler (OHEM) gives a weight per pixel, (B, H, W), of labels (B, 1, H, W)
        sampled = head.sampler.sample(logits, labels.unsqueeze(1))
        weight = sampled if weight is None else weight * sampled
    loss_modules = head.loss_decode if isinstance(head.loss_decode,
                                                  nn.ModuleList) else [head.loss_decode]
    values: dict[str, Tensor] = {}
    for module in loss_modules:
        value = module(logits, labels, weight=weight, ignore_index=head.ignore_index)
        name = str(module.loss_name)
        # losses of one name are added up, as in MMSegmentation
        values[name] = values[name] + value if name in values else value
    if _accuracy_wanted:
        with torch.no_grad():
            values['acc_seg'] = pixel_accuracy(logits.detach(), labels, head.ignore_index)
    return PassResult.from_mmseg(values)


def head_losses(head: BaseDecodeHead, logits: Logits, labels: Tensor,
                weight: Optional[Tensor] = None) -> dict[str, Tensor]:
    """:func:`head_result` as MMSegmentation's ``loss_by_feat`` gives it: one dict by name.

    Args:
        head, logits, labels, weight: As there.

    Returns:
        Losses and the accuracy, 0-d each.
    """
    return head_result(head, logits, labels, weight).named()


def auxiliary_losses(network: nn.Module, features: Sequence[Tensor], labels: Tensor,
                     weight: Optional[Tensor] = None) -> Iterator[PassResult]:
    """Losses of each auxiliary head on encoder maps, named ``aux.`` (``aux_0.``, ...).

    Args:
        network: With its heads.
        features: Encoder maps, (B, C_i, h_i, w_i).
        labels: (B, H, W) int64, 255 ignored.
        weight: Per-pixel weight (B, H, W), or None.
    """
    for name, head in _auxiliary_heads(network):
        yield head_result(head, head(features), labels, weight).prefixed(name)


@contextmanager
def accuracies(wanted: bool) -> Iterator[None]:
    """Inside, :func:`head_result` computes the accuracy only if ``wanted``; a training loop wants
    it in the iterations that are logged.
    """
    global _accuracy_wanted
    before, _accuracy_wanted = _accuracy_wanted, wanted
    try:
        yield
    finally:
        _accuracy_wanted = before


def _auxiliary_heads(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """``(name, head)`` of a network's auxiliary heads, ``aux`` or ``aux_0``, ``aux_1``, ..."""
    heads = child(network, 'auxiliary_head')
    if heads is None:
        return []
    if isinstance(heads, nn.ModuleList):
        return [(f'aux_{i}', head) for i, head in enumerate(heads)]
    return [('aux', heads)]


def style_images(network: nn.Module, images: Tensor) -> Tensor:
    """The images from which prototypes of styles are taken, of a batch (B, 3, H, W): the batch
    itself, or its context images (B, 3, h, w) in a multi-resolution network.
    """
    return interface_of(network).style_images(images)


def predict_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits at image resolution for pseudo-labels, (B, C, H, W); the whole training crop (B, 3, H,
    W) at once, no windows.
    """
    return interface_of(network).predict_logits(images)


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
    return interface_of(network).reference_features(encoder, images, crop_box=crop_box)


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
    return interface_of(network).distance_maps(features, labels, scale, crop_box=crop_box)
