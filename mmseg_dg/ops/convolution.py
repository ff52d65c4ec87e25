"""Convolutions whose CPU kernels torch chooses badly: 1x1 on one thread, and dilated depthwise in
channels-last.

Nothing here changes a result by more than rounding; docs/benchmarks/speed.md has the measurements.

Shapes: B images, C channels in, D channels out, H x W pixels.
"""
from __future__ import annotations

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: Types oneDNN computes in on a CPU.
_ONEDNN = (torch.float32, torch.bfloat16)


def cpu_layout(x: Tensor) -> Tensor:
    """Maps (B, C, H, W) in the layout that is fastest where they are.

    On a CPU in single precision (and below) channels-last: one pixel's channels are neighbors, so
    that resizing and depthwise convolutions run along the vector units. Elsewhere contiguous, as
    the official code computes.
    """
    channels_last = x.device.type == 'cpu' and x.dtype in _ONEDNN
    return x.contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def pointwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution with stride 1.

    torch sends 1x1 convolutions of fewer than 16 images on one CPU thread to its own kernel, which
    takes twice the time of oneDNN's in channels-last (``Convolution.cpp``, ``use_mkldnn``); dilated
    ones always go to oneDNN, and a kernel of one pixel has nothing to dilate.

    Args:
        x: (B, C, H, W).
        weight: (D, C, 1, 1).
        bias: (D,) or None.

    Returns:
        (B, D, H, W).
    """
    to_onednn = x.device.type == 'cpu' and x.dtype in _ONEDNN and weight.dtype == x.dtype
    if torch.compiler.is_compiling():  # an exported graph chooses no kernels
        return F.conv2d(x, weight, bias)
    # a dilation changes nothing of one pixel, only who computes it
    return F.conv2d(x, weight, bias, dilation=2 if to_onednn else 1)


#: The largest dilation at which oneDNN's channels-last depthwise kernel is fast (beyond: eight
#: times slower).
_LARGEST_FAST_DILATION = 6


class _DilatedDepthwise(torch.autograd.Function):
    """Depthwise 3x3 convolution of channels-last maps (B, C, H, W), stride 1, padding = dilation.

    torch's forward is fast in this layout up to a dilation of 6; its backward of dilated kernels is
    ten times slower. The gradient of the input is a depthwise convolution by the mirrored kernel,
    the gradient of a kernel's tap is the sum over pixels of input (moved by the tap) times output
    gradient: more exact than oneDNN's, too.
    """
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        """(B, C, H, W) and (C, 1, 3, 3) -> (B, C, H, W)."""
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _depthwise(x, weight, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Optional[Tensor], Optional[Tensor], None]:
        """Gradients of ``x`` (B, C, H, W) and ``weight`` (C, 1, 3, 3), each only where it is
        needed.
        """
        x, weight = ctx.saved_tensors
        d, grad_x, grad_weight = ctx.dilation, None, None
        grad = grad.contiguous(memory_format=torch.channels_last)
        if ctx.needs_input_grad[0]:
            grad_x = _depthwise(grad, weight.flip(-1, -2), d)
        if ctx.needs_input_grad[1]:
            # tap (row, column) reads the pixel that lies (row - 1) d down and (column - 1) d right
            taps = [
                _tap_gradient(x, grad, (row - 1) * d, (column - 1) * d) for row in range(3)
                for column in range(3)
            ]
            # 9 x (C,) -> (C, 1, 3, 3)
            grad_weight = torch.stack(taps, dim=1).view(weight.shape).to(weight.dtype)
        return grad_x, grad_weight, None


def _depthwise(x: Tensor, weight: Tensor, d: int) -> Tensor:
    """(B, C, H, W) and (C, 1, 3, 3) -> (B, C, H, W), in the fastest way for this dilation ``d``."""
    groups = weight.shape[0]  # one per channel
    if d <= _LARGEST_FAST_DILATION:
        return F.conv2d(x, weight, None, 1, d, d,
                        groups)  # no bias, stride 1, padding d, dilation d
    if x.dtype == torch.bfloat16:  # the sum below would be rounded after each of its nine terms
        padded = F.pad(x, (d, d, d, d)).contiguous(memory_format=torch.channels_last)
        return F.conv2d(padded, weight, None, 1, 0, d, groups)
    # torch's kernel is slow for larger dilations: nine shifted products are faster
    kernel = weight.view(1, -1, 3, 3, 1, 1)  # a tap is (1, C, 1, 1), against (B, C, H, W)
    out = x * kernel[:, :, 1, 1]
    for row in range(3):
        for column in range(3):
            moved = _moved(x.shape[-2], x.shape[-1], (row - 1) * d, (column - 1) * d)
            if moved is not None and (row, column) != (1,
                                                       1):  # the middle one is in ``out`` already
                source, target = moved
                out[target].addcmul_(x[source], kernel[:, :, row, column])
    return out


def _moved(height: int, width: int, dy: int, dx: int) -> tuple | None:
    """Two indices into maps (B, C, H, W): the pixels at (y + dy, x + dx), and those at (y, x), for
    all (y, x) for which both lie in the map; None where there are none.
    """
    if abs(dy) >= height or abs(dx) >= width:
        return None
    source = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
    target = slice(max(0, -dy), height + min(0, -dy)), slice(max(0, -dx), width + min(0, -dx))
    return (..., *source), (..., *target)


def _tap_gradient(x: Tensor, grad: Tensor, dy: int, dx: int) -> Tensor:
    """Sum over images and pixels of ``x`` at (y + dy, x + dx) times ``grad`` at (y, x); (B, C, H,
    W) twice -> (C,).
    """
    moved = _moved(x.shape[-2], x.shape[-1], dy, dx)
    if moved is None:
        return x.new_zeros(x.shape[1])
    source, target = moved
    return (x[source] * grad[target]).sum((0, 2, 3))  # bfloat16, too, is summed in float32


def dilated_depthwise_conv(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Depthwise 3x3 convolution, stride 1, padding = ``dilation``, zeros around.

    Args:
        x: (B, C, H, W); the gain is in channels-last.
        weight: (C, 1, 3, 3).
        dilation: At least 1.

    Returns:
        (B, C, H, W).
    """
    return _DilatedDepthwise.apply(x, weight, dilation)


class FastConv2d(nn.Conv2d):
    """``nn.Conv2d`` with the kernels of this module where they fit; parameters and results are
    those of the base.
    """
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What ``nn.Conv2d.forward`` calls: convolve (B, C, H, W), on CPUs by a faster kernel where
        one fits, else as the base.
        """
        # kernels are chosen by size here, which one exported graph for all sizes cannot do
        if torch.compiler.is_compiling():
            return super()._conv_forward(input, weight, bias)
        if input.device.type != 'cpu' or self.padding_mode != 'zeros' or self.stride != (
                1, 1) or input.dim() != 4:
            return super()._conv_forward(input, weight, bias)
        if self.kernel_size == (1, 1) and self.groups == 1 and self.padding == (0, 0):
            return pointwise_conv(input, weight, bias)
        # this kernel adds no bias, and autocast does not know it: the cast is made here
        if self._is_dilated_depthwise and bias is None and input.is_contiguous(
                memory_format=torch.channels_last):
            if torch.is_autocast_enabled('cpu'):
                input, weight = (x.to(torch.get_autocast_dtype('cpu')) for x in (input, weight))
            if input.dtype in _ONEDNN:
                return dilated_depthwise_conv(input, weight, self.dilation[0])
        return super()._conv_forward(input, weight, bias)

    @property
    def _is_dilated_depthwise(self) -> bool:
        """Whether this is what :func:`dilated_depthwise_conv` computes, with a dilation above 1."""
        d = self.dilation[0]
        return (self.groups == self.in_channels == self.out_channels and self.kernel_size == (3, 3)
                and d > 1 and self.dilation == (d, d) and self.padding == (d, d))


def use_fast_convolutions(module: nn.Module) -> nn.Module:
    """Make each plain ``nn.Conv2d`` at or below ``module`` a :class:`FastConv2d`, parameters
    untouched; returns it.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d:
            # not replaced: its parameters, hooks and whoever refers to it stay as they are
            part.__class__ = FastConv2d
    return module
