"""A network as a plain function of an image, of any size and batch: what ONNX and ``torch.export``
write down.

Training parts are left behind, Python's decisions that hang on a size are replaced by arithmetic on
it, and the values stay those of the network's own prediction of whole images.

Shapes: B images, K classes, C channels, H x W pixels. Images have 3 channels, or as many as the
encoder reads.
"""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Optional

import torch
from mmengine.model import revert_sync_batchnorm
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from mmseg_dg.models.backbones.encoder_interfaces import image_channels
from mmseg_dg.models.norm_per_scale import one_process
from mmseg_dg.models.segmentors import (
    HRDAEncoderDecoder,
    MaskDiffusionEncoderDecoder,
    predict_logits,
)
from mmseg_dg.ops.pairs import pair
from mmseg_dg.utils.modules import child
from mmseg_dg.weights.segmentor_export import merge_adapters

from .hrda import HRDAGraph

SAMPLER = (
    '{kind} samples its label map from noise that is drawn by each image\'s file name, step after '
    'step: no '
    'file for another runtime can hold that. Its one-step form, the plain classifier on the image '
    'feature, can '
    'be written: --plain (plain=True). It is another predictor, measure it; or write --to '
    'safetensors or '
    'mmseg, which hold the whole network')
UNTRAINED = (
    '{kind} has no plain form: plain_weight=0 left its plain classifier untrained. Write --to '
    'safetensors or '
    'mmseg, which hold the whole network')


class AdaptivePool(nn.Module):
    """``AdaptiveAvgPool2d`` as two matrix products, which ONNX can write for images of any size.

    Cell i of k covers the rows from ``floor(i * H / k)`` to ``ceil((i + 1) * H / k)``, as in
    PyTorch.

    Args:
        output_size: (k_rows, k_columns).
    """
    def __init__(self, output_size: tuple[int, int]) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, k_rows, k_columns)"""
        height, width = x.shape[-2:]
        rows = averages(height, self.output_size[0], x)
        columns = averages(width, self.output_size[1], x)
        return rows @ x @ columns.transpose(0, 1)  # (k_rows, H) x (B, C, H, W) x (W, k_columns)


def averages(length: int, cells: int, like: Tensor) -> Tensor:
    """The matrix, (cells, length), whose row i averages the positions of cell i of adaptive average
    pooling along one axis.

    Args:
        length: Positions along the axis; in a trace a symbol, so that the matrix is computed anew
            for every size.
        cells: Cells along the axis.
        like: Of any shape; gives device and type.
    """
    place = torch.arange(length, device=like.device)[None]
    cell = torch.arange(cells, device=like.device)[:, None]
    # floor of the beginning and ceiling of the end (excluded): neighbors overlap by one position
    # where ``cells`` does not divide ``length``
    first = cell * length // cells
    end = ((cell + 1) * length + cells - 1) // cells
    inside = ((place >= first) & (place < end)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


class PlainDiffusion(nn.Module):
    """The plain classifier of a mask diffusion network: (B, 3, H, W) -> logits (B, K, H, W)."""
    def __init__(self, network: MaskDiffusionEncoderDecoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        feature = self.network.image_feature(self.network.extract_feat(images))
        return self.network.to_size(self.network.plain_logits(feature), pair(images.shape[-2:]))


class PlainNetwork(nn.Module):
    """Encoder and decode head: (B, 3, H, W) -> logits (B, K, H, W)."""
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W), at the size of the images."""
        return predict_logits(self.network, images)


class InferenceGraph(nn.Module):
    """What is written: network, and where asked the normalization before and the argmax after it.

    Args:
        network: A segmentor; changed in place (:func:`without_training_parts`).
        mean, std: Of each channel as the network reads them, 0..255. Given, the input is an image
            as OpenCV reads it: uint8 (B, H, W, 3), BGR; more than three channels in the order of
            the file. None: float32 (B, 3, H, W), normalized by the caller.
        bgr_to_rgb: Whether the network reads RGB.
        argmax: Give class ids uint8 (B, H, W) instead of logits float32 (B, K, H, W).
        plain: Write the plain form of a mask diffusion network.

    Raises:
        ValueError: A mask diffusion network without ``plain``, or one without a trained plain
            classifier; argmax of more than 256 classes or of a single channel.
    """
    mean: Tensor
    std: Tensor

    def __init__(self, network: BaseSegmentor, mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None, bgr_to_rgb: bool = True,
                 argmax: bool = False, plain: bool = False) -> None:
        super().__init__()
        if argmax and not 2 <= network.out_channels <= 256:
            raise ValueError(
                f'argmax gives class ids of 8 bits: the network has {network.out_channels} '
                'channels of '
                'logits; leave argmax out')
        self.channels = image_channels(network.backbone)
        self.body = whole_image_form(without_training_parts(network), plain)
        self.normalizes, self.bgr_to_rgb, self.argmax = mean is not None, bgr_to_rgb, argmax
        if mean is not None:
            # (C,) -> (1, C, 1, 1), against images (B, C, H, W); a single value is for all channels
            shaped = [torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (mean, std)]
            self.register_buffer('mean', shaped[0])
            self.register_buffer('std', shaped[1])
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Predict whole images: (B, C, H, W), or uint8 (B, H, W, C) where it normalizes itself ->
        logits (B, K, H, W), or class ids uint8 (B, H, W) where it has the argmax.
        """
        if self.normalizes:
            if self.bgr_to_rgb:
                images = images.flip(-1)  # channels come last
            # (B, H, W, 3) -> (B, 3, H, W)
            images = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        logits = self.body(images)
        return logits.argmax(dim=1).to(torch.uint8) if self.argmax else logits

    def example(self, height: int = 96, width: int = 136) -> Tensor:
        """Two random images of the kind that :meth:`forward` takes, uint8 (2, H, W, 3) or
        float32 (2, 3, H, W), equal in every call.
        """
        generator = torch.Generator().manual_seed(0)
        if self.normalizes:
            return torch.randint(0, 256, (2, height, width, self.channels), dtype=torch.uint8,
                                 generator=generator)
        return torch.randn(2, self.channels, height, width, generator=generator)

    @property
    def dynamic_shapes(self) -> tuple[dict[int, Any]]:
        """Which dimensions of the input may have any size, as ``torch.export`` wants it: batch,
        height and width, which lie elsewhere in the two layouts.
        """
        free = torch.export.Dim.DYNAMIC
        return ({0: free, 1: free, 2: free} if self.normalizes else {0: free, 2: free, 3: free}, )


def whole_image_form(network: nn.Module, plain: bool) -> nn.Module:
    """A module, (B, 3, H, W) -> logits (B, K, H, W), that predicts whole images as the network
    does; ValueError for a sampling network unless its plain classifier is meant (``plain``).
    """
    kind = type(network).__name__
    if isinstance(network, MaskDiffusionEncoderDecoder):
        # the plain classifier is trained by a loss of its own (plain_weight) or as the part of the
        # prediction that the denoiser adds to (residual)
        if not network.plain_weight and not network.residual:
            raise ValueError(UNTRAINED.format(kind=kind))
        if not plain:
            raise ValueError(SAMPLER.format(kind=kind))
        return PlainDiffusion(network)
    if plain:  # only mask diffusion has two predictors
        raise ValueError(
            f'plain=True is for networks that sample; {kind} predicts in one step as it is: leave '
            'it out')
    return HRDAGraph(network) if isinstance(network, HRDAEncoderDecoder) else PlainNetwork(network)


def without_training_parts(network: BaseSegmentor) -> BaseSegmentor:
    """Merge adapters, drop auxiliary heads, and replace what cannot be written; the network is
    changed in place."""
    merge_adapters(network)
    if child(network, 'auxiliary_head') is not None:
        network.auxiliary_head = None
    for module in list(network.modules()):
        for name, part in module.named_children():
            # pooling to a single cell is a mean, which every format has
            if isinstance(part, nn.AdaptiveAvgPool2d) and _pair(part.output_size) != (1, 1):
                setattr(module, name, AdaptivePool(_pair(part.output_size)))
    # BatchNorm that synchronizes processes becomes plain; first the layers with two sets of
    # statistics, of which revert_sync_batchnorm would lose one
    one_process(network)
    return revert_sync_batchnorm(network).eval().requires_grad_(False)


def _pair(size: Any) -> tuple[int, int]:
    """(rows, columns) of a pooling's ``output_size``, which may be one number."""
    return tuple(size) if isinstance(size, (tuple, list)) else (size, size)


@contextmanager
def without_size_warnings() -> Iterator[None]:
    """Inside, mmseg's ``resize`` does not compare sizes in order to warn of them: a trace would
    keep the outcome of the comparison, and so the sizes, for good.
    """
    import sys

    from mmseg.models.utils import resize
    quiet = partial(resize, warning=False)
    # mmseg's modules took ``resize`` by name: each has a reference of its own
    found = [
        module for name, module in list(sys.modules.items())
        if name.startswith('mmseg.models.') and vars(module).get('resize') is resize
    ]
    try:
        for module in found:
            module.__dict__['resize'] = _QuietResize(quiet)
        yield
    finally:
        for module in found:
            module.__dict__['resize'] = resize


class _QuietResize:
    """``resize`` that ignores the ``warning`` of its callers.

    Args:
        quiet: mmseg's ``resize`` with ``warning=False`` bound.
    """
    def __init__(self, quiet: Any) -> None:
        self.quiet = quiet

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Resize; the arguments are those of mmseg's ``resize``."""
        # positional: (input, size, scale_factor, mode, align_corners, warning), without the last
        others = {key: value for key, value in kwargs.items() if key != 'warning'}
        return self.quiet(*args[:5], **others)
