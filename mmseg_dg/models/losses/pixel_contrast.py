"""CLUDA's contrast of all pairs of pixels, as a baseline with the interface of PiXL's term.

Shapes: B images, N pixels, D channels, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from functools import partial
from typing import Callable, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.ops.crop_boxes import shrink_box
from mmseg_dg.ops.pixel_alignment import EPS, boxes_per_image, nearest
from mmseg_dg.ops.pixel_contrast import LOWEST_TEMPERATURE, pair_contrast
from mmseg_dg.ops.precision import at_least_float32
from mmseg_dg.ops.resize import resize
from mmseg_dg.registry import MODELS

from .alignment import (
    AlignmentImages,
    AlignmentResult,
    DecoderFacts,
    check_passes,
    check_term,
    resized,
    without_autocast,
)


@MODELS.register_module()
class PixelContrast(nn.Module):
    """Contrast of every pixel with every other one of the batch, within each pass.

    Two resolutions: half the sum of context against context, weighted by ``W``, and context against
    detail, weighted by ``1 - W``, where ``W_ij = w_i w_j`` of a learned weight per pixel, 0 in rows
    outside the detail crop. Detail features lie on a canvas of zeros. One resolution: the plain
    term. Features are resized, then normalized. No projection, prototypes or memory bank. Source:
    CLUDA (Vayyat et al.), the variant its code runs (user0407/CLUDA@66ee876,
    mmseg/models/uda/dacs.py), in blocks of rows
    (:func:`mmseg_dg.ops.pixel_contrast.pair_contrast`).

    Resizing as there: context features and learned weight are enlarged to the detail grid first,
    the former with aligned corners, the latter without; then all maps become squares of
    ``resolution`` cells, bilinear with aligned corners (the weights of pseudo-labels too), labels
    nearest.

    Args:
        weight: Factor of the loss, per pass.
        temperature: Divides similarities.
        resolution: Side of the square maps: resolution ** 2 pixels per image, all pairs of which
            count.
        block_size: Rows of the similarity matrix at a time; None computes it at once.
        weight_channels: Width of the head that learns the weights (one ``DAFormerHead`` with a 1x1
            fusion on the encoder's context levels). Two resolutions only.
        first_class_outside: Pixels of class 0 get the weight of pixels outside the detail crop, as
            in CLUDA's code.
        keep_ignored: Ignored pixels are a class of their own, as in CLUDA's code; False leaves them
            out.
        start: First iteration with the term.
        ignore_index: Label of ignored pixels.
        decoder: Facts about the network; methods fill it in.

    Raises:
        ValueError: Out-of-range arguments; the message has the value.
    """

    loss_name = 'loss_pixel_contrast'
    #: Every pass is a loss of its own; no graph waits for another pass.
    pair = 'separate'
    needs_seed = False

    def __init__(self, weight: float = 1., temperature: float = 1., resolution: int = 65,
                 block_size: Optional[int] = 512, weight_channels: int = 256,
                 first_class_outside: bool = True, keep_ignored: bool = True, start: int = 0,
                 ignore_index: int = 255, decoder: Optional[DecoderFacts] = None) -> None:
        super().__init__()
        name = type(self).__name__
        check_term(name, weight, temperature, start, resolution)
        if resolution is None:
            raise ValueError(
                f'{name}: resolution is the side of its maps (65 in CLUDA): all pairs of pixels of '
                "the decoder's own maps would take minutes per step")
        if temperature < LOWEST_TEMPERATURE:
            raise ValueError(f'{name}: temperature={temperature} must be at least '
                             f'{LOWEST_TEMPERATURE}')
        if block_size is not None and block_size < 1:
            raise ValueError(f'{name}: block_size={block_size} counts rows, at least 1, or None')
        self.weight, self.temperature, self.resolution = weight, temperature, resolution
        self.block_size, self.start, self.ignore_index = block_size, start, ignore_index
        self.first_class_outside, self.keep_ignored = first_class_outside, keep_ignored
        self.weight_head: Optional[nn.Module] = None
        if decoder is not None and decoder.resolutions > 1:
            if not decoder.level_channels:
                raise ValueError(f'{name} learns a weight per pixel from encoder levels, but the '
                                 'decode head does not say the channels of each: use one with '
                                 'in_channels per level (DAFormerHead)')
            self.weight_head = MODELS.build(
                dict(type='DAFormerHead', in_channels=decoder.level_channels,
                     in_index=decoder.level_index, channels=weight_channels,
                     embed_channels=weight_channels, fusion=dict(type='conv1x1'), num_classes=1))

    def forward(self, images: Sequence[AlignmentImages], iteration: int = 0,
                total: Optional[int] = None, memory: Optional[list] = None,
                pass_follows: bool = False, seed: Optional[int] = None,
                reduce_count: Optional[Callable[[Tensor], Tensor]] = None) -> AlignmentResult:
        """The weighted sum of the losses of the passes, 0-d. The arguments besides ``images`` are
        those of :meth:`PixelAlignment.forward`; none has a meaning here.

        Raises:
            ValueError: Maps and labels that cannot be aligned, or two resolutions without a weight
                head.
        """
        check_passes(images)
        with without_autocast(images[0].labels.device):
            losses = [self._one_pass(pass_images) for pass_images in images]
        return AlignmentResult(self.weight * torch.stack(losses).sum())

    def _one_pass(self, pass_images: AlignmentImages) -> Tensor:
        """The loss of one pass, 0-d: over one view, or over context and detail of HRDA."""
        size = (self.resolution, self.resolution)
        labels = nearest(pass_images.labels,
                         size).flatten()  # (B, H, W) -> (N,), N = B * resolution ** 2
        # all pixels, or bool (N,): those with a label
        keep = slice(None) if self.keep_ignored else labels != self.ignore_index
        trust = None  # (N,): how much each pixel's pseudo-label counts
        if pass_images.weight is not None:
            # (B, H, W) -> (B, 1, s, s) -> (N,)
            trust = resized(at_least_float32(pass_images.weight.unsqueeze(1)),
                            self.resolution).flatten()[keep]
        contrast = partial(pair_contrast, confidence=trust, temperature=self.temperature,
                           block_size=self.block_size)
        if len(pass_images.views) == 1:
            vectors = self._vectors(pass_images.views[0].features)[keep]
            return contrast(vectors, vectors, labels[keep])
        # two resolutions: a contrast within the context, weighted by W, and one of the context with
        # the detail, weighted by 1 - W (complement), which is 1 outside the crop, as in CLUDA
        context, detail = self._canvases(pass_images)
        detail_grid = context.shape[-2:]
        context, detail = self._vectors(context)[keep], self._vectors(detail)[keep]
        learned, inside = self._weights(pass_images, labels, detail_grid)
        weights = ((learned * inside)[keep], learned[keep])  # W_ij = rows_i * columns_j
        same = contrast(context, context, labels[keep], weights)
        other = contrast(context, detail, labels[keep], weights, complement=True)
        return 0.5 * (same + other)

    def _vectors(self, features: Tensor) -> Tensor:
        """(B, D, h, w) -> unit vectors (B * resolution ** 2, D)."""
        maps = resized(at_least_float32(features), self.resolution)
        # (B, D, s, s) -> (B, s * s, D) -> (B * s * s, D)
        return F.normalize(maps.flatten(2).transpose(1, 2).flatten(0, 1), dim=1, eps=EPS)

    def _canvases(self, pass_images: AlignmentImages) -> tuple[Tensor, Tensor]:
        """Features (B, D, h, w) of context and detail on one grid, that of the detail over the
        whole image: the context enlarged, the detail at its place among zeros.
        """
        # (B, D, h, w) each
        context, detail = pass_images.views[0].features, pass_images.views[1].features
        boxes = boxes_per_image(pass_images.views[1].crop_box, len(detail))
        height, width = pass_images.labels.shape[-2:]
        if boxes is None:
            boxes = [(0, height, 0, width)] * len(detail)
        # pixels of the image per place of the detail map; all boxes have one size, and both axes
        # one stride
        stride = (boxes[0][1] - boxes[0][0]) / detail.shape[-2]
        size = (int(height / stride), int(width / stride))
        placed = []
        for image, box in zip(detail, boxes):
            y1, y2, x1, x2 = shrink_box(box, stride)
            # the crop at its place in the image, zeros around it
            placed.append(F.pad(image, (x1, size[1] - x2, y1, size[0] - y2)))
        return resize(context, size, align_corners=True), torch.stack(placed)

    def _weights(self, pass_images: AlignmentImages, labels: Tensor,
                 size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Learned weight of each pixel in (0, 1), and whether it counts as inside the detail crop;
        (N,) each, N = B * resolution ** 2.

        Args:
            pass_images: Of the pass: encoder levels, labels (B, H, W), crop boxes of the detail.
            labels: The same labels at the term's resolution, (N,).
            size: (height, width) of the detail grid, to which the weight is enlarged before it is
                resized.
        """
        if self.weight_head is None:
            raise ValueError('PixelContrast of two resolutions learns a weight per pixel: give '
                             'decoder=DecoderFacts(..., resolutions=2)')
        learned = torch.sigmoid(self.weight_head([at_least_float32(x) for x in pass_images.levels]))
        # HRDA's own resizing
        learned = resize(learned, size)
        learned = resized(learned, self.resolution).flatten()  # (B, 1, s, s) -> (N,)
        boxes = boxes_per_image(pass_images.views[1].crop_box, len(pass_images.labels))
        # (B, H, W): 1 inside the crops; without crops the detail covers the image
        inside = torch.full_like(pass_images.labels, boxes is None, dtype=learned.dtype)
        for mask, (y1, y2, x1, x2) in zip(inside, boxes or ()):
            mask[y1:y2, x1:x2] = 1
        inside = nearest(inside, (self.resolution, self.resolution)).flatten()  # (B, H, W) -> (N,)
        # with first_class_outside, as in CLUDA's code, class 0 counts as outside
        return learned, inside * (labels != 0) if self.first_class_outside else inside
