"""HRDA's prediction of a whole image, its detail windows laid out by arithmetic on the size instead
of loops.

Source of what is computed: :class:`mmseg_dg.models.segmentors.HRDAEncoderDecoder`;
    docs/behavior/daformer_hrda.md.

Shapes: B images, K classes, C channels, H x W pixels, h x w places of a smaller map.
"""
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_dg.models.segmentors import HRDAEncoderDecoder
from mmseg_dg.ops.pairs import pair


class HRDAGraph(nn.Module):
    """Logits of whole images, those of ``HRDAEncoderDecoder.encode_decode``.

    Images at least as large as a detail window in both directions; smaller ones get windows of
    their own size in the network itself, which a file for other runtimes does not.

    Args:
        network: Trained network; ``test_cfg.output`` says what it gives (fusion, context or
            detail).
    """
    def __init__(self, network: HRDAEncoderDecoder) -> None:
        super().__init__()
        self.network = network
        # size of the context image over that of the detail image, e.g. 1/2; sizes are computed from
        # numerator and denominator, whole numbers
        self.scale = Fraction(network.scales[1]).limit_denominator(1000)

    @property
    def smallest(self) -> tuple[int, int]:
        """Least (height, width) of an image: that of a detail window, where there are windows, and
        128, of which half goes through the encoder as context.
        """
        crop = self.network.hr_crop_size if self.network.hr_slide_inference else (0, 0)
        return pair(max(side, 128) for side in crop)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        height, width = images.shape[-2:]
        # ``size_divisor``: sides that it divides give whole logits at both scales
        divisor, net = self.network.size_divisor, self.network
        # height and width rounded up to multiples of it
        full = pair((side + divisor - 1) // divisor * divisor for side in (height, width))
        # padded by a fixed number and cut, so that nothing hangs on whether there is anything to
        # pad
        padded = F.pad(images, (0, divisor - 1, 0, divisor - 1))[..., :full[0], :full[1]]
        # 'fused', 'LR' (context alone) or 'HR' (detail alone), as HRDAEncoderDecoder tests
        output = net.test_cfg.get('output', 'fused')
        if output != 'HR':
            context = net._encode(self._resize(padded, self._shrunken(full)))
            logits = net.decode_head.logits(context)
        if output == 'fused':
            # weight of the detail in [0, 1], (B, K or 1, h, w)
            attention = net.decode_head.attention(context, logits)
            fused = self._enlarge(attention) * self._details(padded) + self._enlarge(
                (1 - attention) * logits)
        elif output == 'LR':
            fused = self._enlarge(logits)
        else:
            fused = self._details(padded)
        return self._resize(fused, full)[..., :height, :width]

    def _shrunken(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the context image for a padded image of ``size``."""
        return pair(side * self.scale.numerator // self.scale.denominator for side in size)

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps or images (B, C, h, w) bilinearly at ``size``, (B, C, *size)."""
        return F.interpolate(x, size=size, mode='bilinear', align_corners=False)

    def _enlarge(self, x: Tensor) -> Tensor:
        """A map (B, C, h, w) of the context scale at the size of the detail scale, corners aligned
        as the head's own fusion does.
        """
        if self.scale == 1:
            return x
        size = pair(side * self.scale.denominator // self.scale.numerator for side in x.shape[-2:])
        return F.interpolate(x, size=size, mode='bilinear',
                             align_corners=self.network.decode_head.align_corners)

    def _details(self, padded: Tensor) -> Tensor:
        """Logits of the detail scale.

        Args:
            padded: Images (B, 3, H, W), sides divisible by the network's ``size_divisor``.

        Returns:
            (B, K, H / stride, W / stride), stride that of the head's output; where the network is
            tested in detail windows, the mean over those that overlap at a place. There are ny
            windows below each other, nx beside each other.
        """
        net, stride = self.network, self.network.decode_head.output_stride
        images = net._detail_image(padded)  # blurred, if the network was trained so
        if not net.hr_slide_inference:
            return net._detail_logits(images)
        (tall, wide), batch = net.hr_crop_size, images.shape[0]
        # first rows (ny,) and first columns (nx,) of the windows
        down_step, right_step = net.detail_stride
        tops = starts(images.shape[2], tall, down_step, images)
        lefts = starts(images.shape[3], wide, right_step, images)
        rows, columns = span(tops, tall), span(lefts, wide)  # (ny * h), (nx * w)
        crops = images.index_select(2, rows).index_select(3, columns)
        # (B, 3, ny * h, nx * w) -> (B, ny, nx, 3, h, w) -> (B * ny * nx, 3, h, w)
        crops = crops.unflatten(3, (-1, wide)).unflatten(2, (-1, tall)).permute(0, 2, 4, 1, 3, 5)
        # encoded as one batch: (B * ny * nx, 3, h, w)
        logits = net._detail_logits(crops.reshape(-1, images.shape[1], tall, wide))
        tall, wide = tall // stride, wide // stride  # of a window's logits
        # (B * ny * nx, K, h, w) -> (B, K, ny * h, nx * w)
        logits = logits.reshape(batch, tops.shape[0], lefts.shape[0], -1, tall,
                                wide).permute(0, 3, 1, 4, 2, 5)
        # (B, K, ny, h, nx, w) -> (B, K, ny * h, nx * w)
        logits = logits.flatten(4, 5).flatten(2, 3)
        down = placement(span(tops // stride, tall), images.shape[2] // stride, logits)
        right = placement(span(lefts // stride, wide), images.shape[3] // stride, logits)
        # (H', ny * h) x (B, K, ny * h, nx * w) x (nx * w, W'): sums over windows, divided by how
        # many there are
        return (down @ logits @ right.transpose(0, 1)) / (down.sum(1)[:, None] * right.sum(1)[None])


def starts(length: int, crop: int, step: int, like: Tensor) -> Tensor:
    """First pixels of the windows along one axis, int64 (n,); the last window is moved back so that
    it ends at the border.

    Args:
        length: Of the axis, in pixels; at least ``crop``.
        crop: Side of a window.
        step: Distance of two windows.
        like: Of any shape; gives the device.
    """
    # ceiling of (length - crop) / step, and the first one
    count = (length - crop + step - 1) // step + 1
    return (torch.arange(count, device=like.device) * step).clamp(max=length - crop)


def span(first: Tensor, size: int) -> Tensor:
    """All positions of windows of ``size`` that begin at ``first`` (n,), window by window:
    (n * size,).
    """
    # (n, 1) + (size,) -> (n, size) -> (n * size,)
    return (first[:, None] + torch.arange(size, device=first.device)).flatten()


def placement(places: Tensor, length: int, like: Tensor) -> Tensor:
    """The matrix, (length, n), that puts entry j at position ``places[j]`` and adds up entries of
    the same position.

    Args:
        places: (n,) positions in 0..length - 1.
        length: Number of positions.
        like: Of any shape; gives the type.
    """
    return (torch.arange(length, device=places.device)[:, None] == places[None]).to(like.dtype)
