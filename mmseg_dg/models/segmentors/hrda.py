"""HRDA: a network that sees the whole image at low and a crop of it at high resolution.

Shapes: B images, C channels, or classes of logits, H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from typing import Optional

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmseg_dg.models.decode_heads.classifier import Decoded, FusesScales, main_logits
from mmseg_dg.models.decode_heads.hrda_head import ScaleLogits, check_scales
from mmseg_dg.models.norm_per_scale import detail_statistics, match_statistics, separate_statistics
from mmseg_dg.ops import CropBox, PixelView, at_least_float32, cut_box, cut_boxes, draw_crop_box
from mmseg_dg.ops.crop_boxes import Randint
from mmseg_dg.ops.pairs import pair
from mmseg_dg.ops.pixel_alignment import boxes_per_image
from mmseg_dg.ops.resize import resize
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.pass_result import PassResult

from .hrda_windows import DetailWindows, whole_image
from .network import Boxes, CropChoice, NetworkLosses, TrainableSegmentor, head_result

#: What inference may return: the fusion, or one of its two sides alone.
OUTPUTS = ('fused', 'LR', 'HR')


@MODELS.register_module()
class HRDAEncoderDecoder(TrainableSegmentor, DetailWindows, EncoderDecoder):
    """One encoder and one head on two scales of an image.

    Training: the image resized to the context scale, and one detail crop of the full image, whose
    box is an argument (:meth:`draw_crop_box` draws it, :meth:`segmentation_losses` takes it).
    Inference: overlapping detail windows over the whole image. Source: HRDA (Hoyer et al., ECCV
    2022); checked in float64 against values of the official code.

    Args:
        backbone, neck, train_cfg, data_preprocessor, pretrained, init_cfg: As of mmseg's
            ``EncoderDecoder``.
        decode_head: Config of :class:`HRDAHead`; it gets ``scales`` from here.
        auxiliary_head: Must be None.
        test_cfg: ``mode='whole'``, or ``mode='slide'`` with ``crop_size`` and ``stride`` of outer
            windows (each of which has context and detail windows of its own), and

            - ``batch_chunk`` (4): images or windows that go through the encoder at once; None for
              all;
            - ``share_detail_windows`` (True): encode a detail window that several outer windows
              have in common once;
            - ``output`` ('fused'): 'LR' or 'HR' for the prediction of one scale alone.
        scales: Detail scale (1) and context scale.
        hr_crop_size: Detail crop (height, width) in pixels.
        crop_coord_divisible: Offsets of the detail crop are multiples of it.
        hr_slide_inference: Detail windows of the crop's size in inference; False puts the whole
            image through at once.
        hr_slide_overlapping: Windows overlap by half; False: not.
        blur_hr_crop: Resize the detail image to one half and back: the ablation without
            high-resolution detail.
        norm_per_scale: BatchNorm layers of encoder, neck and shared head keep running statistics
            for each scale, weights shared; a checkpoint of one set fills both. Not in the paper,
            whose encoder has LayerNorm: MobileNetV2 and ResNet see features of other statistics in
            context and detail. Refused for encoders without BatchNorm.

    Raises:
        ValueError: Scales or crop that do not fit, unknown options; the message has the value.
    """

    # see TrainableSegmentor: an image passes encoder and head twice, at two scales
    plain = False

    def __init__(self, backbone: dict, decode_head: dict, neck: Optional[dict] = None,
                 auxiliary_head: Optional[dict] = None, train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None, data_preprocessor: Optional[dict] = None,
                 pretrained: Optional[str] = None, init_cfg: Optional[dict] = None,
                 scales: Sequence[float] = (1, 0.5), hr_crop_size: Sequence[int] = (512, 512),
                 crop_coord_divisible: int = 8, hr_slide_inference: bool = True,
                 hr_slide_overlapping: bool = True, blur_hr_crop: bool = False,
                 norm_per_scale: bool = False) -> None:
        detail_and_context = check_scales(scales)
        # no auxiliary heads, a head that fuses two scales, scales stated once
        if auxiliary_head is not None:
            raise ValueError('HRDAEncoderDecoder has no auxiliary heads: leave out auxiliary_head')
        if not isinstance(MODELS.get(decode_head['type']), FusesScales):
            kind = decode_head['type']
            raise ValueError(
                f'decode_head.type={kind!r} takes the features of one image, but there are two: '
                f"put it inside, decode_head=dict(type='HRDAHead', head=dict(type={kind!r}, ...))")
        if tuple(decode_head.get('scales', detail_and_context)) != detail_and_context:
            raise ValueError(f'decode_head.scales={list(decode_head["scales"])} differ from '
                             f'scales={list(detail_and_context)}: set them on HRDAEncoderDecoder '
                             'only')
        super().__init__(backbone, dict(decode_head, scales=detail_and_context), neck=neck,
                         train_cfg=train_cfg, test_cfg=ConfigDict(test_cfg or dict(mode='whole')),
                         data_preprocessor=data_preprocessor, pretrained=pretrained,
                         init_cfg=init_cfg)
        self.scales = detail_and_context
        self.hr_crop_size = (int(hr_crop_size[0]), int(hr_crop_size[1]))
        self.crop_coord_divisible = crop_coord_divisible
        self.hr_slide_inference = hr_slide_inference
        self.hr_slide_overlapping = hr_slide_overlapping
        self.blur_hr_crop = blur_hr_crop
        self.norm_per_scale = norm_per_scale
        if norm_per_scale:  # neck and shared head beside the encoder
            separate_statistics(self.backbone, self._shared_parts()[1:])
        # also without norm_per_scale: a checkpoint with statistics of two scales is then refused
        self.register_load_state_dict_pre_hook(match_statistics)
        # what sides of images must be multiples of. The head's logits must fit; a neck enlarges
        # maps of stride 32, and must not get one whose size was rounded up
        self.size_divisor = _size_divisor(32 if self.with_neck else self.decode_head.output_stride,
                                          detail_and_context[1])
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Refuse (ValueError) crops, windows and strides that do not fit the head's output stride.
        """
        stride, divisor = self.decode_head.output_stride, self.crop_coord_divisible
        if divisor < 1 or divisor % stride:
            raise ValueError(f'crop_coord_divisible={divisor} must be a multiple of '
                             f'output_stride={stride}')
        if any(side < 1 or side % divisor for side in self.hr_crop_size):
            raise ValueError(f'hr_crop_size={self.hr_crop_size} must be divisible by '
                             f'crop_coord_divisible={divisor}')
        if self.hr_slide_inference and any(step % stride for step in self.detail_stride):
            raise ValueError(f'hr_crop_size={self.hr_crop_size}: detail windows move by '
                             f'{self.detail_stride} pixels, which must be divisible by '
                             f'output_stride={stride} of the head')
        if self._output not in OUTPUTS:
            raise ValueError(f'test_cfg.output={self._output!r} must be one of {OUTPUTS}')
        if self._chunk is not None and self._chunk < 1:
            raise ValueError(f'test_cfg.batch_chunk={self._chunk} must be at least 1 (None for all '
                             'at once)')
        if self.test_cfg.get('mode', 'whole') == 'slide':
            if 'crop_size' not in self.test_cfg or 'stride' not in self.test_cfg:
                raise ValueError("test_cfg.mode='slide' needs crop_size and stride of the outer "
                                 "windows")
            outer = tuple(self.test_cfg.crop_size)
            if any(not 0 < step <= side for step, side in zip(self.test_cfg.stride, outer)):
                raise ValueError(f'test_cfg.stride={tuple(self.test_cfg.stride)} must lie between '
                                 f'1 and crop_size={outer}, or pixels between the windows would '
                                 'have no prediction')
            if any(side % self.size_divisor for side in outer):
                raise ValueError(f'test_cfg.crop_size={outer} must be divisible by '
                                 f'{self.size_divisor} (output_stride={stride}, '
                                 f'scales={list(self.scales)})')

    # ------------------------------------------------------------------ both scales
    def _context_image(self, images: Tensor) -> Tensor:
        """The whole images (B, 3, H, W) resized to the context scale."""
        size = tuple(round(side * self.scales[1]) for side in images.shape[-2:])
        return resize(images, size)

    def _detail_image(self, images: Tensor) -> Tensor:
        """The images (B, 3, H, W) that detail crops are cut from; blurred with ``blur_hr_crop``."""
        if not self.blur_hr_crop:
            return images
        size = tuple(images.shape[-2:])
        return resize(resize(images, (size[0] // 2, size[1] // 2)), size)

    def _encode(self, images: Tensor, encoder: Optional[nn.Module] = None) -> Sequence[Tensor]:
        """Maps of images of one scale, one per level, behind the neck; None: the own encoder."""
        maps = (self.backbone if encoder is None else encoder)(images)
        return self.neck(maps) if self.with_neck else maps

    def _shared_parts(self) -> list[nn.Module]:
        """Encoder, neck (if any) and inner head: what both scales pass. The scale attention is
        not among them, it sees the context only.
        """
        neck = [self.neck] if self.with_neck else []
        return [self.backbone, *neck, self.decode_head.head]

    def _detail_pass(self) -> AbstractContextManager:
        """A context in which BatchNorm uses the statistics of the detail scale (``norm_per_scale``;
        else nothing changes)."""
        return detail_statistics(self._shared_parts()) if self.norm_per_scale else nullcontext()

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Features of the context scale, of images (B, 3, H, W)."""
        return self._encode(self._context_image(inputs))

    # ------------------------------------------------------------------ for training methods
    def draw_crop_box(self, image_size: tuple[int, int], rng: Randint) -> CropBox:
        """The detail crop of one training pass, the same for all images of a batch.

        Args:
            image_size: (H, W) of the training crop.
            rng: :class:`numpy.random.RandomState`.

        Raises:
            ValueError: The detail crop is larger.
        """
        return draw_crop_box(pair(image_size), self.hr_crop_size, self.crop_coord_divisible, rng)

    def segmentation_losses(self, images: Tensor, labels: Tensor, weight: Optional[Tensor] = None,
                            crop_box: Optional[CropChoice] = None) -> NetworkLosses:
        """Losses of the fusion, of the detail crop and, if wanted, of the context scale, of images
        (B, 3, H, W) with labels and weight (B, H, W)
        (docs/behavior/daformer_hrda.md#losses-of-both-scales).

        Logged values contain their weights. See
        :func:`mmseg_dg.models.segmentors.network.segmentation_losses`. A function as ``crop_box``
        gets the detached context logits; the views say what was taken.

        Raises:
            ValueError: No crop box, a box that is not inside the image, or image sides that do not
                fit both scales.
        """
        scales = self._both_scales(images, crop_box)
        context, detail, (context_logits, detail_logits), box, views = scales
        attention = self.decode_head.attention(context, context_logits)
        logits = self._fuse(context_logits, detail_logits, attention, box)
        terms = self.scale_losses(logits, labels, weight, box)
        return NetworkLosses(terms, [context, detail], logits.fused, views=views)

    def pixel_views(self, images: Tensor,
                    crop_box: Optional[CropChoice] = None) -> Sequence[PixelView]:
        """The views of :meth:`segmentation_losses` alone, context first; images (B, 3, H, W)."""
        return self._both_scales(images, crop_box)[-1]

    def _both_scales(
        self, images: Tensor, crop_box: Optional[CropChoice]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor], tuple[Tensor, Tensor], Boxes, list[PixelView]]:
        """Both scales of images (B, 3, H, W) through encoder and head.

        Returns:
            Encoder maps of the context and of the detail (a sequence each), their logits (B, C, h,
            w), the crop box taken, and a view of each scale's pixels (none for a head whose
            classifier is called more than once).
        """
        head, size = self.decode_head, pair(images.shape[-2:])
        self._check_training_size(size)
        context = self.extract_feat(images)
        of_context: Optional[Decoded] = None
        # a function chooses the crops by the context logits, so that the head runs before the
        # detail is encoded. A list of crops repeats such a choice and keeps this order, so that
        # dropout draws the same numbers
        if callable(crop_box) or isinstance(crop_box, list):
            of_context = head.decoded(context)
            crop_box = crop_box(main_logits(
                of_context.logits).detach()) if callable(crop_box) else crop_box
        box = self._checked_box(crop_box, size, len(images))
        with self._detail_pass():
            detail = self._encode(cut_boxes(self._detail_image(images), box))
        of_context = of_context or head.decoded(context)
        with self._detail_pass():
            of_detail = head.decoded(detail)
        views = [  # as of views_of, with the region of each scale
            PixelView(decoded.calls[0].features, decoded.calls[0].logits, region)
            for decoded, region in ((of_context, None), (of_detail, box)) if len(decoded.calls) == 1
        ]
        logits = main_logits(of_context.logits), main_logits(of_detail.logits)
        return context, detail, logits, box, views if len(views) == 2 else []

    def _fuse(self, context: Tensor, detail: Tensor, attention: Tensor, box: Boxes) -> ScaleLogits:
        """The fusion of logits (B, C, h, w) with one box for all images, or image by image with a
        list of boxes.
        """
        if not isinstance(box[0], tuple):  # four numbers: one box
            return self.decode_head.fuse(context, detail, attention, box)
        attention = attention.expand(len(context), -1, -1, -1)  # a fixed one has a batch of 1
        fused = [  # each image as a batch of one
            self.decode_head.fuse(*(x.unsqueeze(0) for x in maps), box_of_image)
            for *maps, box_of_image in zip(context, detail, attention, box)
        ]
        return ScaleLogits(*(torch.cat(x) for x in zip(*fused)))  # each field (1, ...) -> (B, ...)

    def scale_losses(self, logits: ScaleLogits, labels: Tensor, weight: Optional[Tensor],
                     box: Boxes) -> PassResult:
        """Losses and accuracies by log name: ``decode.`` the fusion, ``decode.hr.`` detail,
        ``decode.lr.`` context; labels and weight are (B, H, W).
        """
        head = self.decode_head
        # (log name, logits, labels, weight of pixels, weight of the term); the fusion gets the rest
        terms = [('decode', logits.fused, labels, weight,
                  1 - head.lr_loss_weight - head.hr_loss_weight)]
        if head.lr_loss_weight:
            terms.append(('decode.lr', logits.context, labels, weight, head.lr_loss_weight))
        if head.hr_loss_weight:
            cropped = None if weight is None else cut_boxes(weight, box)
            terms.append(('decode.hr', logits.detail, cut_boxes(labels,
                                                                box), cropped, head.hr_loss_weight))
        return PassResult().joined(
            *(head_result(head.head, maps, target, pixels).weighted(factor).prefixed(prefix)
              for prefix, maps, target, pixels, factor in terms))

    def _check_training_size(self, size: tuple[int, int]) -> None:
        """Refuse (ValueError) images of (height, width) pixels on which both scales do not fit."""
        if any(side % self.size_divisor for side in size):
            raise ValueError(f'training images of {size[0]}x{size[1]} pixels (height x width) must '
                             f'be divisible by {self.size_divisor}, so that both scales of '
                             f'{list(self.scales)} fit on one another: change the training crop')

    def _checked_box(self, box: Optional[Boxes], size: tuple[int, int], count: int) -> Boxes:
        """The detail crop after a check: one box where all images have the same, else a list.

        Args:
            box: One for all images, or one per image.
            size: (height, width) of the images.
            count: Number of images.

        Raises:
            ValueError: No box, or one of another size, beyond the image or between two logits.
        """
        if box is None:
            raise ValueError('HRDAEncoderDecoder trains on a detail crop: pass '
                             'crop_box=network.draw_crop_box(image_size, rng)')
        height, width = size
        boxes = boxes_per_image(box, count) or []  # never empty, as ``box`` is not None
        for y1, y2, x1, x2 in boxes:
            inside = min(y1, x1) >= 0 and y2 <= height and x2 <= width
            if (y2 - y1, x2 - x1) != self.hr_crop_size or not inside:
                raise ValueError(f'crop_box={(y1, y2, x1, x2)} (y1, y2, x1, x2) is no crop of '
                                 f'hr_crop_size={self.hr_crop_size} inside an image of '
                                 f'{height}x{width}')
            if any(value % self.decode_head.output_stride for value in (y1, y2, x1, x2)):
                raise ValueError(f'crop_box={(y1, y2, x1, x2)} must be divisible by output_stride='
                                 f'{self.decode_head.output_stride} of the head')
        return boxes[0] if len(set(boxes)) == 1 else boxes

    def reference_features(self, encoder: nn.Module, images: Tensor,
                           crop_box: Optional[CropBox] = None) -> list:
        """Features of another encoder on the context image of (B, 3, H, W) and, if ``crop_box`` is
        given, on that detail.

        Returns:
            A list with the encoder's maps (one per level) for each of these scales.
        """
        features = [self._encode(self._context_image(images), encoder)]
        if crop_box is not None:
            features.append(self._encode(cut_box(self._detail_image(images), crop_box), encoder))
        return features

    def distance_maps(self, features: list, labels: Tensor, scale: str,
                      crop_box: Optional[CropBox] = None) -> list[tuple[Tensor, Tensor]]:
        """Last-level features (B, C, h, w) and their labels (B, H, W): of the context scale
        (``'last'``), or of both (``'all'``).

        ``features``: for context and for detail the encoder's maps, one per level.
        """
        maps = [(features[0][-1], labels)]
        if scale == 'all':
            maps.append((features[1][-1], cut_boxes(labels, crop_box)))
        return maps

    def style_images(self, images: Tensor) -> Tensor:
        """The context images (B, 3, h, w) of images (B, 3, H, W), from which prototypes of
        styles are taken.
        """
        return self._context_image(images)

    def predict_logits(self, images: Tensor) -> Tensor:
        """Logits (B, C, H, W) for pseudo-labels.

        All detail windows of all images form one batch, window by window, and follow the context
        pass: a teacher that normalizes with batch statistics depends on both.
        """
        padded = self._pad(images)
        # one outer window over the whole image; the first and only item is (window, logits)
        _, fused = next(
            self._fused_windows(padded, [whole_image(padded)], chunk=None, output='fused'))
        return self._to_image(at_least_float32(fused), padded, images)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """For MMSegmentation's own training loop on images (B, 3, H, W), which passes no crop
        box: numpy's global generator draws one.
        """
        labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1).long()
        box = self.draw_crop_box(pair(inputs.shape[-2:]), np.random)
        return self.segmentation_losses(inputs, labels, crop_box=box).terms.named()

    # ------------------------------------------------------------------ inference
    def _forward(self, inputs: Tensor, data_samples: Optional[list] = None) -> Tensor:
        """For mmseg's mode 'tensor': logits (B, C, h, w) at the head's output stride, of images
        that are padded where necessary.
        """
        padded = self._pad(inputs)
        return next(self._fused_windows(padded, [whole_image(padded)], self._chunk,
                                        self._output))[1]

    def encode_decode(self, inputs: Tensor, batch_img_metas: Optional[list] = None) -> Tensor:
        """Logits (B, C, H, W) of the whole image, of any size; it is padded at the bottom and right
        if it must be.
        """
        padded = self._pad(inputs)
        return self._to_image(self._forward(padded), padded, inputs)


def _size_divisor(stride: int, context_scale: float) -> int:
    """The smallest side of an image with a whole number of logits on both scales, for ``stride``
    pixels per logit: the side itself and ``context_scale`` times it are multiples of ``stride``.
    """
    return stride * Fraction(context_scale).limit_denominator(1000).denominator
