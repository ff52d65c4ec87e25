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

    # the network's, see there
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
        return self.test_cfg.get('batch_chunk', 4)

    @property
    def _output(self) -> str:
        return self.test_cfg.get('output', 'fused')

    def _detail_boxes(self, size: tuple[int, int]) -> list[CropBox]:
        """The windows of the large scale: overlapping ones, or one over the whole image."""
        if not self.hr_slide_inference:
            return [(0, size[0], 0, size[1])]
        return sliding_boxes(size, self.hr_crop_size, self.detail_stride)

    def _pad(self, images: Tensor, least: Optional[tuple[int, int]] = None) -> Tensor:
        """Pad with zeros (the mean color) to sides both scales fit on; sides of ``least`` pixels
        or more stay.
        """
        smallest = SMALLEST_SIDE / self.scales[1]  # of the image, as the context is scaled down
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
        """Logits resized to the padded images and cut to the images themselves."""
        logits = resize(logits, tuple(padded.shape[-2:]))
        return cut_box(logits, (0, images.shape[-2], 0, images.shape[-1]))

    def slide_inference(self, inputs: Tensor, batch_img_metas: Optional[list] = None) -> Tensor:
        """Logits (B, C, H, W), averaged over overlapping outer windows; sides shorter than a window
        are padded.
        """
        crop, stride = pair(self.test_cfg.crop_size), pair(self.test_cfg.stride)
        images = self._pad(inputs, crop)
        size = pair(images.shape[-2:])
        total: Optional[Tensor] = None
        count = images.new_zeros(1, 1, *size)
        for box, fused in self._fused_windows(images, sliding_boxes(size, crop, stride),
                                              self._chunk, self._output):
            logits = resize(fused, (box[1] - box[0], box[3] - box[2]))
            if total is None:
                dtype = torch.promote_types(logits.dtype, torch.float32)
                total = logits.new_zeros(len(images), logits.shape[1], *size, dtype=dtype)
            cut_box(total, box).add_(logits)
            cut_box(count, box).add_(1)
        assert total is not None  # there is a window
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
        batch = len(crops[0])
        step = len(crops) if chunk is None else max(1, chunk // batch)
        result: list[Tensor] = []
        for i in range(0, len(crops), step):
            logits = self._detail_logits(torch.cat(crops[i:i + step]))
            result += logits.split(batch)
        return result

    def _fused_windows(self, images: Tensor, windows: list[CropBox], chunk: Optional[int],
                       output: str) -> Iterator[tuple[CropBox, Tensor]]:
        """Each outer window with its logits (B, C, h, w) at output stride.

        Args:
            images: (B, 3, H, W).
            windows: Outer windows in pixels, all of one size.
            chunk: Images that pass the network at a time; None: all.
            output: ``'fused'``, ``'LR'`` (context alone) or ``'HR'`` (detail alone).
        """
        head = self.decode_head
        known: dict = {}  # logits of detail windows that outer windows share
        step = len(windows) if chunk is None else max(1, chunk // len(images))
        for i in range(0, len(windows), step):
            group = windows[i:i + step]
            if output != 'HR':
                context = self.extract_feat(torch.cat([cut_box(images, window)
                                                       for window in group]))
                logits = head.logits(context)
            if output != 'LR':
                details = torch.cat(self._merged_details(images, group, known, chunk))
            # 'LR' is enlarged to the size that details have
            if output == 'fused':
                fused = head.fuse(logits, details, head.attention(context, logits)).fused
            else:
                fused = details if output == 'HR' else head.enlarge(logits)
            yield from zip(group, fused.split(len(images)))

    def _merged_details(self, images: Tensor, windows: list[CropBox], known: dict,
                        chunk: Optional[int]) -> list[Tensor]:
        """Averaged detail logits per outer window.

        A detail window depends on nothing outside it, so those that outer windows share are decoded
        once (2048x1024 pixels, windows of 1024: 21 instead of 27). ``known`` holds what was decoded
        before. The blurred variant is an
        exception: its detail image differs at the borders of outer windows.
        """
        shared = self.test_cfg.get('share_detail_windows', True) and not self.blur_hr_crop
        size = (windows[0][1] - windows[0][0], windows[0][3] - windows[0][2])
        boxes = self._detail_boxes(size)
        # per outer window the keys of its details: (None or the outer window, box in the image);
        # crops that are still to be decoded, by key
        rows, missing = [], {}
        for window in windows:
            detail = self._detail_image(cut_box(images, window))
            rows.append([(None if shared else window, shift_box(box, window[0], window[2]))
                         for box in boxes])
            missing.update(
                {key: cut_box(detail, box)
                 for key, box in zip(rows[-1], boxes) if key not in known})
        if missing:
            known.update(zip(missing, self._decode_details(list(missing.values()), chunk)))
        return [self.decode_head.merge([known[key] for key in row], boxes, size) for row in rows]


def whole_image(images: Tensor) -> CropBox:
    """The box (y1, y2, x1, x2) of all pixels of images (B, C, H, W)."""
    return 0, images.shape[-2], 0, images.shape[-1]
