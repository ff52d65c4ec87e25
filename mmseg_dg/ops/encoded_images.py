"""Maps of a frozen encoder in the place of the images they were made of.

Shapes: B images, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_dg.ops.pairs import pair

from .crop_boxes import CropBox


class EncodedImages:
    """A batch of images of which only an encoder's maps are left.

    It answers what training methods ask a batch of images (``shape``, ``len``, ``device``,
    ``flip(0)``, ``torch.cat``); a frozen encoder that is called with it gives :attr:`maps` back.
    There are no pixels: what changes pixels (jitter, blur, masking) was done before encoding, and
    its results are :attr:`variants`.

    Args:
        maps: Level i is (B, C_i, h_i, w_i), floating point.
        size: (H, W) of the images in pixels.
        variants: Further encodings of the same images by name (``'strong1'``, ``'mixed'``,
            ``'masked'``).

    Raises:
        ValueError: No map, or levels and variants of different numbers of images.
    """
    def __init__(
        self,
        maps: Sequence[Tensor],
        size: tuple[int, int],
        variants: Mapping[str, EncodedImages] | None = None,
    ) -> None:
        self.maps, self.size, self.variants = tuple(maps), pair(size), dict(variants or {})
        counts = {len(x) for x in self.maps} | {len(x) for x in self.variants.values()}
        if not self.maps or len(counts) != 1:
            raise ValueError('encoded images need maps of one number of images, got levels '
                             f'{[tuple(x.shape) for x in self.maps]} and variants '
                             f'{ {name: len(x) for name, x in self.variants.items()} }')

    # ------------------------------------------------------------------ what is asked of images
    @property
    def shape(self) -> torch.Size:
        """(B, 3, H, W): of the images."""
        return torch.Size((len(self), 3, *self.size))

    @property
    def device(self) -> torch.device:
        return self.maps[0].device

    def __len__(self) -> int:
        return len(self.maps[0])

    def flip(self, *dims: int) -> EncodedImages:
        """The batch in reversed order.

        Raises:
            ValueError: Another dimension than 0: mirrored maps are not the maps of mirrored images.
        """
        if dims != (0, ):
            raise ValueError(
                f'encoded images can be reversed along the batch only, not flipped along {dims}: '
                'the maps of a mirrored image are others')
        return self._each(lambda x: x.flip(0))

    def to(self, *args: Any, **kwargs: Any) -> EncodedImages:
        """Every map by ``Tensor.to``."""
        return self._each(lambda x: x.to(*args, **kwargs))

    def _each(self, function: Callable[[Tensor], Tensor]) -> EncodedImages:
        """New encoded images whose every map, in variants too, is the function's result."""
        return EncodedImages(
            [function(x) for x in self.maps],
            self.size,
            {name: v._each(function)
             for name, v in self.variants.items()},
        )

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Sequence = (),
                           kwargs: Mapping | None = None) -> Any:
        """torch's protocol for objects that are no tensors: ``torch.cat`` along the batch joins
        them, every other function is a TypeError (it would need pixels).

        Args:
            function: The function of torch that was called.
            types: Not used.
            args, kwargs: What it was called with; those of ``cat`` are a sequence and ``dim``.
        """
        dim = (kwargs or {}).get('dim', args[1] if len(args) > 1 else 0)
        if (function is not torch.cat or dim != 0
                or not all(isinstance(x, EncodedImages) for x in args[0])):
            name = torch.overrides.resolve_name(function) or function
            raise TypeError(f'{name} needs pixels, but encoded images have none left '
                            '(train_cfg.cached_features)')
        return cls.join(args[0])

    @classmethod
    def join(cls, parts: Sequence[EncodedImages]) -> EncodedImages:
        """One batch after the other; variants that all of them have are kept.

        Raises:
            ValueError: Images or maps of different sizes.
        """
        shapes = {(part.size, *(tuple(x.shape[1:]) for x in part.maps)) for part in parts}
        if len(shapes) != 1:
            raise ValueError(
                f'encoded images of different sizes cannot form one batch: {sorted(shapes)}')
        shared = set.intersection(*(set(part.variants) for part in parts))
        return cls(
            [torch.cat(level) for level in zip(*(part.maps for part in parts))],
            parts[0].size,
            {name: cls.join([part.variants[name] for part in parts])
             for name in sorted(shared)},
        )

    def __repr__(self) -> str:
        return (f'{type(self).__name__}({len(self)} images of {self.size[0]}x{self.size[1]}, maps '
                f'{[tuple(x.shape[1:]) for x in self.maps]}, variants {sorted(self.variants)})')


def mix_encoded(mask: Tensor, foreground: EncodedImages,
                background: EncodedImages) -> EncodedImages:
    """Maps of two batches mixed cell by cell, each level at its own stride.

    A cell is the foreground's where the mask covers at least half of its area. That is not the
    encoding of the mixed images: next to a border an encoder looks across it, these maps do not.

    Args:
        mask: bool (B, H, W) at the size of the images.
        foreground: B images.
        background: B images with maps of the same shapes.

    Returns:
        B images without variants; every cell is one of the two, unchanged.

    Raises:
        ValueError: Shapes that do not agree, or a mask that is not bool.
    """
    shapes = [[tuple(x.shape) for x in part.maps] for part in (foreground, background)]
    if shapes[0] != shapes[1] or tuple(mask.shape) != (len(foreground), *foreground.size):
        raise ValueError(
            f'foreground {shapes[0]}, background {shapes[1]} and mask {tuple(mask.shape)} of '
            f'images {foreground.size} do not agree')
    if mask.dtype != torch.bool:
        raise ValueError(f'mask must be bool, got {mask.dtype}')
    area = mask.unsqueeze(1).float()  # (B, 1, H, W)
    maps = [
        torch.where(F.adaptive_avg_pool2d(area, pair(x.shape[-2:])) >= 0.5, x, y)
        for x, y in zip(foreground.maps, background.maps)
    ]
    return EncodedImages(maps, foreground.size)


def paste_encoded(base: EncodedImages, patch: EncodedImages,
                  boxes: Sequence[CropBox | None]) -> EncodedImages:
    """Paste a box of each image of ``patch`` over the same image of ``base``; see
    :func:`mix_encoded`.

    Args:
        base: B images.
        patch: B images with maps of the same shapes.
        boxes: One (y1, y2, x1, x2) in pixels of the images, ends excluded, or None per image.

    Returns:
        B images without variants.
    """
    mask = torch.zeros((len(base), *base.size), dtype=torch.bool, device=base.device)
    for i, box in enumerate(boxes):
        if box is not None:
            mask[i, box[0]:box[1], box[2]:box[3]] = True
    return mix_encoded(mask, patch, base)
