"""What a trained network knows of every pixel: decoder features, logits and labels of test images,
map by map.

Shapes: B images, C classes, D channels, H x W pixels, h x w places of a smaller map.
"""
from typing import NamedTuple, Optional

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

from mmseg_dg.methods.alignment import no_features
from mmseg_dg.models.decode_heads.classifier import decode
from mmseg_dg.models.segmentors.hrda import HRDAEncoderDecoder
from mmseg_dg.models.segmentors.network import main_head, reference_features
from mmseg_dg.registry import DATASETS
from mmseg_dg.utils.loaders import loaders_by_name
from mmseg_dg.utils.rounding import ceil_div

IGNORE = 255
#: Smallest side of an image encoders take, in pixels.
_SMALLEST = 32


class PixelMaps(NamedTuple):
    """One image at one scale of the network.

    Attributes:
        name: ``''`` for networks of one scale, else ``context`` or ``detail``.
        features: (D, h, w) float32, what the classifier sees before dropout.
        logits: (C, h, w) float32 of the same scale.
        labels: (h, w) int64, nearest pixel; 255 where there is no label.
        inside: (h, w) bool, False where the image was padded.
    """
    name: str
    features: Tensor
    logits: Tensor
    labels: Tensor
    inside: Tensor


def domain_dataset(cfg: Config, domain: Optional[str] = None) -> tuple[BaseDataset, str]:
    """The dataset of a test domain and its name.

    Args:
        cfg: Config with ``test_dataloader``.
        domain: Name in it; None where there is only one.

    Raises:
        ValueError: The domain is not in the config, or several are and none was named.
    """
    loaders = loaders_by_name(cfg.test_dataloader, 'test')
    if domain is None and len(loaders) == 1:
        domain = next(iter(loaders))
    if domain not in loaders:
        raise ValueError(f'{domain!r} is not a test domain of {cfg.filename}: use one of '
                         f'{list(loaders)}')
    return DATASETS.build(loaders[domain]['dataset']), domain


def spread_indices(length: int, count: int) -> list[int]:
    """``count`` indices evenly spread over ``length`` images; all of them where there are fewer."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()


@torch.no_grad()
def pixel_maps(model: BaseSegmentor, sample: dict) -> list[PixelMaps]:
    """Features, logits and labels of one test image.

    The whole image goes through the network at once, without windows; HRDA gives two entries, the
    image at half resolution (context) and at full resolution (detail), each with its own logits.

    Args:
        model: Result of :func:`mmseg_dg.apis.load_model`.
        sample: Of a test dataset: ``inputs`` uint8 (3, H, W) and ``data_samples``.

    Returns:
        One entry per resolution, with features, logits and labels on one grid.

    Raises:
        ValueError: The decoder shows no feature per pixel.
    """
    data = model.data_preprocessor(pseudo_collate([sample]), False)  # False: as in a test
    # ``evaluated_network``: the one of a method's networks that predicts (student or teacher)
    network, size = model.evaluated_network, tuple(data['inputs'].shape[-2:])
    divisor = network.size_divisor if isinstance(network, HRDAEncoderDecoder) else 1
    images = _padded(data['inputs'], divisor)
    box = (0, images.shape[-2], 0, images.shape[-1])  # the "detail crop" is the whole image
    labels, inside = _grids(sample, size, images)
    # the encoder's maps at each resolution: one entry, of HRDA (context, detail)
    pyramids = reference_features(network, network.backbone, images, crop_box=box)
    head = main_head(network)
    # per resolution, (features, logits) of every call of the head's classifier
    calls_by_scale = [decode(head, pyramid).calls for pyramid in pyramids]
    # none or several calls: there is no such thing as the feature of a pixel
    if any(len(calls) != 1 for calls in calls_by_scale):
        raise ValueError(no_features(network))
    names = ('', ) if len(pyramids) == 1 else ('context', 'detail')
    return [
        PixelMaps(name=name, features=features[0].float(), logits=logits[0].float(),
                  labels=_nearest(labels, logits), inside=_nearest(inside, logits).bool())
        for name, ((features, logits), ) in zip(names, calls_by_scale)
    ]


def _grids(sample: dict, size: tuple[int, int], images: Tensor) -> tuple[Tensor, Tensor]:
    """The label map of a sample, and a map of where its image is.

    Args:
        sample: Of a test dataset; without ``gt_sem_seg`` all labels are 255.
        size: (height, width) of the image before padding.
        images: (1, 3, H, W), the image padded at the bottom and right.

    Returns:
        Labels, and 1 inside the image and 0 on its padding; both int64 (H, W).
    """
    info = sample['data_samples']
    labels = torch.full(size, IGNORE)
    # loaded at the original size, perhaps larger than what the network sees: brought to ``size``
    if 'gt_sem_seg' in info:
        labels = _nearest(info.gt_sem_seg.data.squeeze(0), labels)
    pad = (0, images.shape[-1] - size[1], 0, images.shape[-2] - size[0])
    labels, inside = F.pad(labels, pad, value=IGNORE), F.pad(torch.ones_like(labels), pad)
    return labels.to(images.device), inside.to(images.device)


def _nearest(plane: Tensor, like: Tensor) -> Tensor:
    """A map of ids (H, W) resized to the size of ``like`` (..., h, w): (h, w) int64."""
    resized = F.interpolate(plane[None, None].double(), size=like.shape[-2:], mode='nearest-exact')
    return resized[0, 0].long()


def _padded(images: Tensor, divisor: int) -> Tensor:
    """Images (B, 3, H, W) with zeros (the mean color, since they are normalized) at the bottom and
    right, so that both sides are multiples of ``divisor`` and no smaller than encoders take.
    """
    # a divisor above 1 means HRDA, whose context is the image at half resolution
    least = max(divisor, 2 * _SMALLEST if divisor > 1 else _SMALLEST)
    missing = [max(ceil_div(side, divisor) * divisor, least) - side for side in images.shape[-2:]]
    return F.pad(images, (0, missing[1], 0, missing[0])) if any(missing) else images
