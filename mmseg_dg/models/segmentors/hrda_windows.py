"""HRDA's detail windows: crops of an image at high resolution, decoded once each and averaged.

Shapes: B images, C classes, H x W pixels, h x w places of a smaller map.
"""
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Callable, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_dg.ops import CropBox, cut_box, shift_box, sliding_boxes
from mmseg_dg.ops.pairs import pair
from mmseg_dg.ops.resize import resize

#: Smallest side of an image encoders take, in pixels: one cell of the last level.
SMALLEST_SIDE = 32


class DetailWindows:
    """What inference of :class:`HRDAEncoderDecoder` does with windows; a mixin, read beside it."""

    # attributes and methods of HRDAEncoderDecoder, see there
    decode_head: Any
    test_cfg: Any
    scales: tuple[float, float]
    size_divisor: int
    hr_crop_size: tuple[int, int]
    hr_slide_inference: bool
    hr_slide_overlapping: bool
    blur_hr_crop: bool
    _encode: Callable[..., Sequence[Tensor]]
    extract_feat: Callable[[Tensor], Sequence[Tensor]]
    _detail_image: Callable[[Tensor], Tensor]
    _detail_pass: Callable[[], AbstractContextManager]

    @property
    def detail_stride(self) -> tuple[int, int]:
        """Distance of neighboring detail windows, (rows, columns)."""
        height, width = self.hr_crop_size
        return (height // 2, width // 2) if self.hr_slide_overlapping else (height, width)

    @property
    def _chunk(self) -> Optional[int]:
        """How many images or windows go through the network at once; None: all."""
        return self.test_cfg.get('batch_chunk', 4)

    @property
    def _output(self) -> str:
        """What inference gives: ``'fused'``, ``'LR'`` (context alone) or ``'HR'`` (detail alone).
        """
        return self.test_cfg.get('output', 'fused')

    def _detail_boxes(self, size: tuple[int, int]) -> list[CropBox]:
        """The detail windows of an image (or outer window) of ``size`` = (height, width) pixels:
        sliding ones, or one over all of it.
        """
        if not self.hr_slide_inference:
            return [(0, size[0], 0, size[1])]
        return sliding_boxes(size, self.hr_crop_size, self.detail_stride)

    def _pad(self, images: Tensor, least: Optional[tuple[int, int]] = None) -> Tensor:
        """Pad images (B, 3, H, W) at the bottom and right to sides that are multiples of
        ``size_divisor``, with zeros: of normalized images the mean color.

        With ``least`` = (height, width) of the outer windows, a side of at least that length stays
        as it is: windows are cut from it, and only they must fit.
        """
        # least side of the image: scaled down for the context, the encoder must still take it
        smallest = SMALLEST_SIDE / self.scales[1]
        # pixels to add, (rows, columns)
        missing = [
            math.ceil(max(side, smallest) / self.size_divisor) * self.size_divisor - side
            for side in images.shape[-2:]
        ]
        if least is not None:
            missing = [
                0 if side >= limit else m
                for side, limit, m in zip(images.shape[-2:], least, missing)
            ]
        return F.pad(images, (0, missing[1], 0, missing[0])) if any(missing) else images

    def _to_image(self, logits: Tensor, padded: Tensor, images: Tensor) -> Tensor:
        """Logits (B, C, h, w) of padded images, resized to these (B, 3, H', W') and cut to the
        size of the ``images`` before padding.
        """
        logits = resize(logits, tuple(padded.shape[-2:]))
        return cut_box(logits, (0, images.shape[-2], 0, images.shape[-1]))

    def slide_inference(self, inputs: Tensor, batch_img_metas: Optional[list] = None) -> Tensor:
        """Logits (B, C, H, W), averaged over overlapping outer windows; sides shorter than a window
        are padded.
        """
        crop, stride = pair(self.test_cfg.crop_size), pair(self.test_cfg.stride)
        images = self._pad(inputs, crop)
        size = pair(images.shape[-2:])
        total: Optional[Tensor] = None  # sum of the logits; made when their type is known
        count = images.new_zeros(1, 1, *size)  # windows that cover each pixel
        for box, fused in self._fused_windows(images, sliding_boxes(size, crop, stride),
                                              self._chunk, self._output):
            logits = resize(fused, (box[1] - box[0], box[3] - box[2]))
            if total is None:
                dtype = torch.promote_types(logits.dtype, torch.float32)
                total = logits.new_zeros(len(images), logits.shape[1], *size, dtype=dtype)
            cut_box(total, box).add_(logits)
            cut_box(count, box).add_(1)
        assert total is not None  # there is at least one window
        # averaged, and cut to the images before padding
        return cut_box(total.div_(count), (0, inputs.shape[-2], 0, inputs.shape[-1]))

    def _detail_logits(self, crops: Tensor) -> Tensor:
        """Logits of detail crops (B, 3, H, W) at output stride, (B, C, h, w)."""
        with self._detail_pass():
            return self.decode_head.logits(self._encode(crops))

    def _decode_details(self, crops: list[Tensor], chunk: Optional[int]) -> list[Tensor]:
        """Logits of detail crops, each (B, 3, h, w) -> (B, C, h', w').

        Crops of several windows go through the network in one batch, of about ``chunk`` images
        (None: all at once).
        """
        batch = len(crops[0])  # B
        step = len(crops) if chunk is None else max(1, chunk // batch)  # windows in one batch
        result: list[Tensor] = []
        for i in range(0, len(crops), step):
            logits = self._detail_logits(torch.cat(crops[i:i + step]))
            result += logits.split(batch)
        return result

    def _fused_windows(self, images: Tensor, windows: list[CropBox], chunk: Optional[int],
                       output: str) -> Iterator[tuple[CropBox, Tensor]]:
        """Yield each outer window with its logits (B, C, h, w) at output stride, in order.

        Args:
            images: (B, 3, H, W).
            windows: Outer windows in pixels, all of one size.
            chunk: Images that pass the network at a time; None: all.
            output: ``'fused'``, ``'LR'`` (context alone) or ``'HR'`` (detail alone).
        """
        head = self.decode_head
        decoded: dict = {}  # logits of detail windows, kept for all outer windows
        # outer windows whose images pass the network together
        step = len(windows) if chunk is None else max(1, chunk // len(images))
        for i in range(0, len(windows), step):
            group = windows[i:i + step]
            # in both batches: all images of the first window, then all of the second, ...
            if output != 'HR':
                context = self.extract_feat(torch.cat([cut_box(images, window)
                                                       for window in group]))
                logits = head.logits(context)
            if output != 'LR':
                details = torch.cat(self._merged_details(images, group, decoded, chunk))
            if output == 'fused':
                result = head.fuse(logits, details, head.attention(context, logits)).fused
            else:
                # the context is enlarged to the size that details have
                result = details if output == 'HR' else head.enlarge(logits)
            yield from zip(group, result.split(len(images)))

    def _merged_details(self, images: Tensor, windows: list[CropBox], decoded: dict,
                        chunk: Optional[int]) -> list[Tensor]:
        """Detail logits (B, C, h, w) of each outer window, averaged over its detail windows.

        A detail window depends on nothing outside it, so those that outer windows share are decoded
        once (2048x1024 pixels, windows of 1024: 21 instead of 27). The blurred variant is an
        exception: its detail image differs at the borders of outer windows.

        Args:
            images: (B, 3, H, W).
            windows: Outer windows in pixels, all of one size.
            decoded: Logits of the detail windows that were decoded before, by the key that is
                made below; those that are decoded here are added.
            chunk: Images that pass the network at a time; None: all.
        """
        shared = self.test_cfg.get('share_detail_windows', True) and not self.blur_hr_crop
        size = (windows[0][1] - windows[0][0], windows[0][3] - windows[0][2])
        boxes = self._detail_boxes(size)  # within an outer window
        # a detail window's key is its box in the whole image; where nothing is shared, the outer
        # window belongs to it
        keys_of_windows, missing = [], {}  # missing: crops that are still to be decoded, by key
        for window in windows:
            detail = self._detail_image(cut_box(images, window))
            keys = [(None if shared else window, shift_box(box, window[0], window[2]))
                    for box in boxes]
            keys_of_windows.append(keys)
            for key, box in zip(keys, boxes):
                if key not in decoded:
                    missing[key] = cut_box(detail, box)
        if missing:
            decoded.update(zip(missing, self._decode_details(list(missing.values()), chunk)))
        return [
            self.decode_head.merge([decoded[key] for key in keys], boxes, size)
            for keys in keys_of_windows
        ]


def whole_image(images: Tensor) -> CropBox:
    """The box (y1, y2, x1, x2) of all pixels of images (B, C, H, W)."""
    return 0, images.shape[-2], 0, images.shape[-1]
