"""HRDA's prediction of a whole image, its detail windows laid out by arithmetic on the size instead
of loops.

Source of what is computed: :class:`mmseg_dg.models.segmentors.HRDAEncoderDecoder`;
    docs/behavior/daformer_hrda.md.

Shapes: B images, K classes, H x W pixels, h x w places of a smaller map.
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
        self.scale = Fraction(network.scales[1]).limit_denominator(1000)

    @property
    def smallest(self) -> tuple[int, int]:
        """Least (height, width) of an image."""
        crop = self.network.hr_crop_size if self.network.hr_slide_inference else (0, 0)
        return pair(max(side, 128) for side in crop)  # half of it goes through the encoder

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, K, H, W)."""
        height, width = images.shape[-2:]
        divisor, net = self.network.size_divisor, self.network
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
            attention = net.decode_head.attention(context, logits)
            fused = self._enlarge(attention) * self._details(padded) + self._enlarge(
                (1 - attention) * logits)
        elif output == 'LR':
            fused = self._enlarge(logits)
        else:
            fused = self._details(padded)
        return self._resize(fused, full)[..., :height, :width]

    def _shrunken(self, size: tuple[int, int]) -> tuple[int, int]:
        return pair(side * self.scale.numerator // self.scale.denominator for side in size)

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size=size, mode='bilinear', align_corners=False)

    def _enlarge(self, x: Tensor) -> Tensor:
        """A map of the context scale at the size of the detail scale."""
        if self.scale == 1:
            return x
        size = pair(side * self.scale.denominator // self.scale.numerator for side in x.shape[-2:])
        return F.interpolate(x, size=size, mode='bilinear',
                             align_corners=self.network.decode_head.align_corners)

    def _details(self, padded: Tensor) -> Tensor:
        """Detail logits (B, K, H / stride, W / stride), averaged over overlapping windows."""
        net, stride = self.network, self.network.decode_head.output_stride
        images = net._detail_image(padded)  # blurred, if the network was trained so
        if not net.hr_slide_inference:
            return net._detail_logits(images)
        (tall, wide), batch = net.hr_crop_size, images.shape[0]
        tops, lefts = (starts(images.shape[dim + 2], crop, step, images)
                       for dim, (crop, step) in enumerate(zip(net.hr_crop_size, net.detail_stride)))
        rows, columns = span(tops, tall), span(lefts, wide)  # (ny * h), (nx * w)
        crops = images.index_select(2, rows).index_select(3, columns)
        # (B, 3, ny * h, nx * w) -> (B, ny, nx, 3, h, w) -> (B * ny * nx, 3, h, w)
        crops = crops.unflatten(3, (-1, wide)).unflatten(2, (-1, tall)).permute(0, 2, 4, 1, 3, 5)
        # encoded as one batch: (B * ny * nx, 3, h, w)
        logits = net._detail_logits(crops.reshape(-1, images.shape[1], tall, wide))
        tall, wide = tall // stride, wide // stride
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
    """First pixels of the windows along one axis, the last moved back to end at the border:
    int64 (n,)."""
    count = (length - crop + step - 1) // step + 1
    return (torch.arange(count, device=like.device) * step).clamp(max=length - crop)


def span(first: Tensor, size: int) -> Tensor:
    """Positions of windows of ``size`` that begin at ``first`` (n,): (n * size,)."""
    # (n, 1) + (size,) -> (n, size) -> (n * size,)
    return (first[:, None] + torch.arange(size, device=first.device)).flatten()


def placement(places: Tensor, length: int, like: Tensor) -> Tensor:
    """(length, n) matrix that adds entry j up at position ``places[j]``."""
    return (torch.arange(length, device=places.device)[:, None] == places[None]).to(like.dtype)
