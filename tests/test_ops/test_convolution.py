"""Convolutions with other kernels: values and gradients are those of torch's own."""
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_dg.models.decode_heads.fusion import build_fusion, fuse_levels, resized_levels
from mmseg_dg.ops.convolution import FastConv2d, cpu_layout, dilated_depthwise_conv, use_fast_convolutions

BN = dict(type='BN')


def gradients(fn, *tensors):
    leaves = [t.detach().clone(memory_format=torch.preserve_format).requires_grad_() for t in tensors]
    out = fn(*leaves)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out.backward(weight.to(out.dtype))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize('dilation', [1, 3, 12])  # 12: taps outside the map
def test_depthwise_gradients(dilation):
    x, w = torch.randn(2, 4, 9, 7, dtype=torch.float64), torch.randn(4, 1, 3, 3, dtype=torch.float64)
    ours = gradients(lambda a, b: dilated_depthwise_conv(a, b, dilation), x, w)
    theirs = gradients(lambda a, b: F.conv2d(a, b, None, 1, dilation, dilation, 4), x, w)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('options', [dict(kernel_size=1), dict(kernel_size=1, bias=False),
                                     dict(kernel_size=3, padding=6, dilation=6, groups=16, bias=False),
                                     dict(kernel_size=3, padding=1, groups=16), dict(kernel_size=1, stride=2)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_fast_convolution_is_the_plain_one(options, layout):
    torch.manual_seed(0)
    plain = nn.Conv2d(16, 16, **options)
    fast = use_fast_convolutions(nn.Sequential(copy.deepcopy(plain)))[0]
    assert type(fast) is FastConv2d and fast.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 16, 12, 10).contiguous(memory_format=layout)
    ours, theirs = (gradients(lambda a, m=m: m(a), x) + [p.grad for p in m.parameters()] for m in (fast, plain))
    exact = gradients(copy.deepcopy(plain).double(), x.double())
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert (ours[0] - exact[0]).abs().max() < 1e-5


def test_fast_convolution_under_autocast():
    conv = FastConv2d(8, 8, 3, padding=6, dilation=6, groups=8, bias=False)
    x = torch.randn(1, 8, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = conv(x)
    out.float().square().sum().backward()
    assert out.dtype == torch.bfloat16 and x.grad.dtype == conv.weight.grad.dtype == torch.float32


def test_layout_depends_on_place_and_type():
    x = torch.randn(1, 4, 5, 6)
    assert cpu_layout(x).is_contiguous(memory_format=torch.channels_last) and torch.equal(cpu_layout(x), x)
    assert cpu_layout(x.double()).is_contiguous()
    assert cpu_layout(x.to('meta')).is_contiguous()


@pytest.mark.parametrize('fusion', [dict(type='sep_aspp', dilations=(1, 2)), dict(type='conv1x1'),
                                    dict(type='aspp', dilations=(1, 2)),
                                    dict(type='isa', isa_channels=4, down_factor=(2, 2))])
@pytest.mark.parametrize('norm', [BN, None])
@pytest.mark.parametrize('align_corners', [False, True])
def test_fusion_before_resizing_is_the_fusion_after_it(fusion, norm, align_corners):
    torch.manual_seed(0)
    layer = build_fusion(fusion, 12, 8, norm, dict(type='ReLU')).double()
    levels = [torch.randn(2, 4, side, side, dtype=torch.float64) for side in (8, 4, 2)]
    ours = gradients(lambda *x: fuse_levels(layer, x, align_corners), *levels)
    mine = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    theirs = gradients(lambda *x: layer(resized_levels(x, align_corners)), *levels)
    for a, b in zip(ours + mine, theirs + [p.grad for p in layer.parameters()]):
        torch.testing.assert_close(a, b)
