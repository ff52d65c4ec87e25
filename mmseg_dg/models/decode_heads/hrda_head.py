"""The multi-resolution decoder of HRDA: one head for context and detail, and a learned weight
between them.

Shapes: B images, C classes (of features: channels), H x W pixels, h x w places of a smaller map.
"""
from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple, Optional, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_dg.ops import CropBox, shrink_box
from mmseg_dg.ops.resize import resize
from mmseg_dg.registry import MODELS

from .classifier import Decoded, Logits, decode

#: Fixed attention by the name of the map that remains
#: (docs/behavior/daformer_hrda.md#scale-attention-and-fusion).
NAMED_ATTENTION = {'LR': 0.0, 'HR': 1.0}


class ScaleLogits(NamedTuple):
    """What the two scales give.

    Attributes:
        fused: (B, C, H, W) at the output stride of the detail scale.
        context: (B, C, h, w), already multiplied by one minus the attention.
        detail: (B, C, ..) of the crop, or of the whole image.
        attention: (B, C or 1, H, W) at the size of ``fused``, zero outside the crop.
    """
    fused: Tensor
    context: Tensor
    detail: Tensor
    attention: Tensor


def check_scales(scales: Sequence[float]) -> tuple[float, float]:
    """Detail and context scale of a multi-resolution network.

    Raises:
        ValueError: Not two, not in the order (1, context), or out of range; the message has the
            value.
    """
    scales = tuple(scales)
    if len(scales) != 2:
        raise ValueError(f'scales={list(scales)}: a multi-resolution network has two scales, '
                         'detail and context, e.g. scales=[1, 0.5]; for one scale use '
                         'EncoderDecoder')
    if scales[0] < scales[1]:
        raise ValueError(f'scales={list(scales)} are not sorted: give the detail scale first, e.g. '
                         'scales=[1, 0.5]')
    if scales[0] != 1 or scales[1] <= 0:
        raise ValueError(f'scales={list(scales)}: the detail scale must be 1 and the context scale '
                         'in (0, 1]')
    return scales


@MODELS.register_module()
class HRDAHead(BaseModule):
    """Fuses context and detail predictions of one shared head by a learned scale attention.

    Source: HRDA (Hoyer et al., ECCV 2022); checked in float64 against closed-form values of the
    official head. Parameters lie in ``head`` and ``scale_attention`` only, under the official
    names.

    The order of the fusion matters: the attention is set to zero outside the detail crop on the
    context grid, weights the context logits there, and only then both are resized. So a ring of one
    detail cell outside the crop is slightly attenuated and one inside is blended.

    Args:
        head: Config of the decoder of both scales (``DAFormerHead``, ``DeepLabV2Head``,
            ``DepthwiseSeparableASPPHead``, ...); its loss is the loss.
        scale_attention: Config of the attention decoder. None derives it from ``head``: a
            ``DAFormerHead`` with a 1x1 fusion of ``attention_channels``, for other heads an
            identical one.
        attention_classwise: One attention map per class instead of one for all.
        attention_channels: Width of a derived ``DAFormerHead`` attention.
        fixed_attention: A number in [0, 1] instead of a learned attention; ``'LR'`` is 0 and
            ``'HR'`` is 1.
        hr_loss_weight: Weight of the loss on the detail crop.
        lr_loss_weight: Weight of the loss on the (attenuated) context logits; the fused loss has
            the rest.
        output_stride: Pixels of an image per logit of ``head``: 4 for DAFormer and for DeepLabV3+
            with its skip feature, 8 for DeepLabV2 on a dilated ResNet.
        scales: Set by ``HRDAEncoderDecoder``: detail and context scale of the images.
        init_cfg: mmengine's.

    Raises:
        ValueError: Bad weights, attention or scales.
    """
    def __init__(self, head: dict, scale_attention: Optional[dict] = None,
                 attention_classwise: bool = True, attention_channels: int = 256,
                 fixed_attention: Union[float, str, None] = None, hr_loss_weight: float = 0.1,
                 lr_loss_weight: float = 0.0, output_stride: int = 4,
                 scales: Sequence[float] = (1, 0.5), init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        _check_arguments(fixed_attention, hr_loss_weight, lr_loss_weight, output_stride)
        self.scales = check_scales(scales)
        self.output_stride = output_stride
        self.hr_loss_weight, self.lr_loss_weight = hr_loss_weight, lr_loss_weight
        self.fixed_attention = _attention_value(fixed_attention)
        self.head = MODELS.build(head)
        self.scale_attention: Optional[nn.Module] = None
        if self.fixed_attention is None:
            channels = self.head.num_classes if attention_classwise else 1
            config = scale_attention or _attention_config(head, attention_channels)
            self.scale_attention = MODELS.build(dict(config, num_classes=channels))
        self.num_classes, self.out_channels = self.head.num_classes, self.head.out_channels
        self.align_corners, self.ignore_index = self.head.align_corners, self.head.ignore_index
        self.threshold = self.head.threshold  # mmseg's, of a prediction with one channel

    @property
    def context_scale(self) -> float:
        """Size of the context images relative to the detail images, in (0, 1]."""
        return self.scales[1]

    # ------------------------------------------------------------------ parts
    def logits(self, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, C, h, w) of one scale.

        Raises:
            ValueError: The encoder gives fewer levels than the head uses.
            TypeError: The head gives several maps.
        """
        self._check_levels(features)
        logits = self.head(features)
        self._check_map(logits)
        return logits

    def decoded(self, features: Sequence[Tensor]) -> Decoded:
        """As :meth:`logits`, (B, C, h, w), with what the shared head's classifier saw."""
        self._check_levels(features)
        result = decode(self.head, features)
        self._check_map(result.logits)
        return result

    def _check_levels(self, features: Sequence[Tensor]) -> None:
        """Refuse (ValueError) fewer levels of features than the inner head uses."""
        used = self.head.in_index
        if max(used if isinstance(used, (list, tuple)) else [used]) >= len(features):
            raise ValueError(f'{type(self.head).__name__} uses the levels in_index={used}, but the '
                             f'encoder gives {len(features)} (counted from 0)')

    def _check_map(self, logits: Logits) -> None:
        """Refuse (TypeError) several maps of logits instead of one tensor."""
        if not isinstance(logits, Tensor):
            raise TypeError(f'{type(self.head).__name__} gives several maps: HRDAHead needs a head '
                            'that gives one')

    def attention(self, features: Sequence[Tensor], like: Tensor) -> Tensor:
        """Weight of the detail scale, (B, C or 1, h, w) in [0, 1], from context features; gradients
        flow.

        Args:
            features: Encoder maps of the context, one per level.
            like: Context logits (B, C, h, w), for the size of a fixed attention, which is (1, 1, h,
                w).
        """
        if self.fixed_attention is not None:
            return like.new_full((1, 1, *like.shape[-2:]), self.fixed_attention)
        assert self.scale_attention is not None  # attention is fixed or learned
        return torch.sigmoid(self.scale_attention(features))

    def merge(self, windows: Sequence[Tensor], boxes: Sequence[CropBox],
              image_size: tuple[int, int]) -> Tensor:
        """Average the logits of overlapping detail windows.

        Args:
            windows: Logits (B, C, h, w) per window.
            boxes: The windows in pixels of the image.
            image_size: (H, W) in pixels.

        Returns:
            (B, C, H / output_stride, W / output_stride).

        Raises:
            ValueError: Logits and boxes do not fit.
        """
        if len(windows) == 1:  # it covers the image: nothing is averaged
            self._check_size(windows[0], image_size)
            return windows[0]
        height, width = (int(side / self.output_stride) for side in image_size)
        merged = windows[0].new_zeros(*windows[0].shape[:2], height, width)
        count = windows[0].new_zeros(1, 1, height, width)
        for logits, box in zip(windows, boxes):
            self._check_size(logits, (box[1] - box[0], box[3] - box[2]))
            y1, y2, x1, x2 = shrink_box(box, self.output_stride)
            merged[..., y1:y2, x1:x2] += logits  # windows overlap: sums here, counts beside them
            count[..., y1:y2, x1:x2] += 1
        return merged / count

    def _check_size(self, logits: Tensor, size: tuple[int, int]) -> None:
        """Refuse (ValueError) logits (B, C, h, w) whose h and w are not ``size``, the (height,
        width) in pixels, divided by the output stride and rounded down.
        """
        grid, stride = tuple(logits.shape[-2:]), self.output_stride
        if grid != tuple(int(side / stride) for side in size):
            raise ValueError(f'{type(self.head).__name__} gives {grid[0]}x{grid[1]} logits for '
                             f'{size[0]}x{size[1]} pixels, which is not output_stride={stride}: '
                             'correct it in HRDAHead, or use sizes it divides')

    def fuse(self, context: Tensor, detail: Tensor, attention: Tensor,
             crop_box: Optional[CropBox] = None) -> ScaleLogits:
        """Fuse both scales.

        Args:
            context: Logits (B, C, h, w) of the resized image.
            detail: Logits of the crop, or of the whole image, at the output stride of the detail
                scale.
            attention: Result of :meth:`attention`, (B or 1, C or 1, h, w).
            crop_box: Crop in pixels of the image; None: ``detail`` covers the image.

        Returns:
            Logits of the fusion (at the size of the detail scale), of context and of detail, and
            the attention.

        Raises:
            ValueError: Sizes do not fit.
        """
        stride = self.output_stride
        if crop_box is not None:
            self._check_size(detail, (crop_box[1] - crop_box[0], crop_box[3] - crop_box[2]))
            # the crop on the grid of the context logits: outside there is no detail, and the
            # context counts alone
            y1, y2, x1, x2 = shrink_box(crop_box, stride / self.context_scale)
            mask = attention.new_zeros(1, 1, *context.shape[-2:])
            mask[..., y1:y2, x1:x2] = 1
            attention = attention * mask
        context = (1 - attention) * context
        # the attention weighs the context before both are enlarged, as in the official code: the
        # other order gives other values at the border of the crop
        fused, attention = self.enlarge(context), self.enlarge(attention)
        if crop_box is None:
            if detail.shape[-2:] != fused.shape[-2:]:
                raise ValueError(f'detail logits are {tuple(detail.shape[-2:])}, enlarged context '
                                 f'logits {tuple(fused.shape[-2:])}: use image sizes that '
                                 f'output_stride={stride} and scales={list(self.scales)} divide')
            placed = detail
        else:
            # the crop on the grid of the detail logits; zeros around it
            y1, y2, x1, x2 = shrink_box(crop_box, stride)
            placed = F.pad(detail, (x1, fused.shape[-1] - x2, y1, fused.shape[-2] - y2))
        return ScaleLogits(attention * placed + fused, context, detail, attention)

    def enlarge(self, x: Tensor) -> Tensor:
        """A map (B, C, h, w) of the context scale at the size of the detail scale, (B, C, H, W)."""
        size = tuple(round(side / self.context_scale) for side in x.shape[-2:])
        return resize(x, size, self.align_corners)

    # ------------------------------------------------------------------ both scales at once
    def decode(self, inputs: Sequence[Sequence[Tensor]],
               crop_box: Optional[CropBox] = None) -> ScaleLogits:
        """Logits of both scales and their fusion, of the encoder maps ``(context levels, detail
        levels)``. The head runs on the context first, which the statistics of BatchNorm depend on.

        Raises:
            ValueError: Not two feature pyramids.
        """
        inputs = list(inputs)
        if len(inputs) != 2 or any(isinstance(x, Tensor) for x in inputs):
            kinds = ', '.join(  # what came instead, for the message
                f'a tensor {tuple(x.shape)}' if isinstance(x, Tensor) else f'{len(x)} '
                'levels' for x in inputs)
            raise ValueError('HRDAHead takes two inputs, the feature levels of the context image '
                             f'and those of the detail crop; got {len(inputs)}: {kinds}')
        context, detail = (self.logits(features) for features in inputs)
        return self.fuse(context, detail, self.attention(inputs[0], context), crop_box)

    def forward(self, inputs: Sequence[Sequence[Tensor]],
                crop_box: Optional[CropBox] = None) -> Tensor:
        """Fused logits (B, C, H, W) of the detail scale; see :meth:`decode`."""
        return self.decode(inputs, crop_box).fused


def _attention_config(head: dict, channels: int) -> dict:
    """Config of the attention decoder where none is given: a copy of the inner head's; a
    ``DAFormerHead`` gets a 1x1 fusion and the width ``channels``.
    """
    config = deepcopy(dict(head))
    config.pop('init_cfg', None)  # pretrained weights of the head predict classes, not attention
    # the type may carry a scope: mmseg_dg.DAFormerHead
    if str(config['type']).split('.')[-1] == 'DAFormerHead':
        config.update(channels=channels, embed_channels=channels, fusion=dict(type='conv1x1'))
    return config


def _attention_value(fixed: Union[float, str, None]) -> Optional[float]:
    """The number of a fixed attention, given as a number or by name; None for a learned attention,
    and for an unknown name.
    """
    return NAMED_ATTENTION.get(fixed) if isinstance(fixed, str) else fixed


def _check_arguments(fixed: Union[float, str, None], hr: float, lr: float, stride: int) -> None:
    """Refuse (ValueError) an attention, loss weights or a stride without meaning."""
    value = _attention_value(fixed)
    unknown_name = isinstance(fixed, str) and value is None
    if unknown_name or not 0 <= (value or 0) <= 1:  # a learned attention (None) passes as 0
        raise ValueError("fixed_attention must be a number in [0, 1], 'LR', 'HR' or None, got "
                         f"{fixed!r}")
    if min(hr, lr) < 0 or hr + lr > 1:
        raise ValueError(f'hr_loss_weight={hr} and lr_loss_weight={lr} must not be negative, and '
                         'their sum must not exceed 1: the fused loss has what they leave')
    if stride < 1:
        raise ValueError(f'output_stride counts pixels per logit, got {stride}')
