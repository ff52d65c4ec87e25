"""What the alignment terms share: the images they see, what they give, and how maps and labels get
onto one grid.

Shapes: B images, C channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmseg_dg.ops.pixel_alignment import (
    PixelView,
    boxes_per_image,
    check_alignable,
    cut_boxes,
    nearest,
)
from mmseg_dg.ops.resize import resize


class AlignmentImages(NamedTuple):
    """The images of one pass as an alignment term sees them.

    Attributes:
        views: One per resolution, context first.
        labels: (B, H, W) int64 of the training images: labels, mixed labels or pseudo-labels; 255
            ignored.
        weight: (B, H, W) factor of each pixel, or None for 1.
        levels: Encoder maps of the context resolution.
    """
    views: Sequence[PixelView]
    labels: Tensor
    weight: Optional[Tensor] = None
    levels: Sequence[Tensor] = ()


class AlignmentResult(NamedTuple):
    """What an alignment term gives for one call.

    Attributes:
        loss: 0-d, weighted; always with a graph.
        memory: What a later pass of the same step needs, without a graph: the training method
            passes it to the term's next call. None: nothing.
        log: Further numbers by name.
    """
    loss: Tensor
    memory: Optional[Sequence] = None
    log: Optional[dict[str, Tensor]] = None


class DecoderFacts(NamedTuple):
    """What trained parts of a term must know of the network; methods fill it in.

    Attributes:
        channels: Channels of the decoder's features.
        level_channels: Channels of each encoder level the decoder uses.
        level_index: Their positions.
        resolutions: Number of views of one pass.
    """
    channels: int
    level_channels: tuple[int, ...]
    level_index: tuple[int, ...]
    resolutions: int = 1


def check_term(name: str, weight: float, temperature: float, start: int,
               resolution: Optional[int]) -> None:
    """Check the arguments that every term has; ``name`` is the term's, for messages.

    Raises:
        ValueError: Out of range; the message has the value.
    """
    if not weight > 0:
        raise ValueError(f'{name}: weight={weight} must be positive; alignment=None switches the '
                         'term off')
    if not temperature > 0:
        raise ValueError(f'{name}: temperature={temperature} must be positive')
    if start < 0:
        raise ValueError(f'{name}: start={start} is an iteration, 0 or more')
    if resolution is not None and resolution < 1:
        raise ValueError(f'{name}: resolution={resolution} is the side of a map, at least 1, or '
                         'None')


def check_choice(name: str, key: str, value: str, allowed: Sequence[str]) -> str:
    """``value`` if it is one of ``allowed``.

    Raises:
        ValueError: It is not.
    """
    if value not in allowed:
        raise ValueError(f'{name}: unknown {key}={value!r}, use one of {tuple(allowed)}')
    return value


def check_view(view: PixelView, pass_images: AlignmentImages) -> None:
    """Refuse features, logits and labels of one resolution that do not lie on one another.

    Raises:
        ValueError: They do not; the message has the shapes.
    """
    features, logits, labels = view.features, view.logits, pass_images.labels
    grids = features.shape[2:], logits.shape[2:]  # (h, w) each
    if features.dim() != 4 or len(features) != len(logits) or grids[0] != grids[1]:
        raise ValueError(f'features (B, D, h, w) and logits (B, C, h, w) must lie on one grid, got '
                         f'{tuple(features.shape)} and {tuple(logits.shape)}')
    if labels.dim() != 3 or len(labels) != len(features):
        raise ValueError(f'labels must be (B, H, W) with B={len(features)} as the features, got '
                         f'{tuple(labels.shape)}')
    if pass_images.weight is not None and pass_images.weight.shape != labels.shape:
        raise ValueError(
            f'weights {tuple(pass_images.weight.shape)} and labels {tuple(labels.shape)} '
            'must have one shape')
    check_alignable(features.shape[-2:], cut_boxes(labels, view.crop_box).shape[-2:])


def labels_on(view: PixelView, maps: Tensor, size: Sequence[int]) -> Tensor:
    """The part of ``maps`` (B, H, W) that a view covers, on ``size`` cells (nearest)."""
    return nearest(cut_boxes(maps, view.crop_box), size)


def resized(maps: Tensor, side: Optional[int]) -> Tensor:
    """Maps (B, C, h, w) as squares of ``side`` cells (bilinear, corners aligned, as CLUDA does);
    None leaves them.
    """
    return maps if side is None else resize(maps, (side, side), align_corners=True)


def without_detail(pass_images: AlignmentImages, ignore_index: int) -> AlignmentImages:
    """The same images with the labels ignored where a detail crop covers them, for the views of the
    whole image.
    """
    crops = [v.crop_box for v in pass_images.views if v.crop_box is not None]
    labels = pass_images.labels.clone()
    for crop in crops:  # of a view: one box for all images, or one each
        for label, (y1, y2, x1, x2) in zip(labels, boxes_per_image(crop, len(labels)) or ()):
            label[y1:y2, x1:x2] = ignore_index
    return pass_images._replace(labels=labels)


def build_projection(name: str, decoder: Optional[DecoderFacts], channels: int = 256,
                     norm_cfg: Optional[dict] = None) -> nn.Module:
    """A projection head: 1x1 convolution, norm, ReLU, 1x1 convolution (PiPa, ContrastiveSeg).

    Args:
        name: Of the term, for the message.
        decoder: Gives the channels that come in.
        channels: Channels that go out.
        norm_cfg: BatchNorm by default.

    Returns:
        A module for maps of pixels' features, (B, C, h, w) -> (B, channels, h, w).

    Raises:
        ValueError: The channels of the decoder are not known.
    """
    if decoder is None:
        raise ValueError(f'{name}: a projection needs the channels of the decoder: give '
                         'decoder=DecoderFacts(...)')
    width = decoder.channels
    norm = build_norm_layer(norm_cfg or dict(type='BN'), width)[1]
    return nn.Sequential(nn.Conv2d(width, width, 1, bias=False), norm, nn.ReLU(inplace=True),
                         nn.Conv2d(width, channels, 1))


def check_passes(images: Sequence[AlignmentImages]) -> None:
    """Refuse passes that do not have the same resolutions, or have none.

    Raises:
        ValueError: They have not.
    """
    counts = {len(pass_images.views) for pass_images in images}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f'every pass of a step must give the same resolutions, at least one, got '
                         f'{[len(pass_images.views) for pass_images in images]}')
    for pass_images in images:
        for view in pass_images.views:
            check_view(view, pass_images)


def without_autocast(device: torch.device) -> torch.autocast:
    """Context without autocast: entropies, norms and InfoNCE need float32."""
    return torch.autocast(device.type, enabled=False)
