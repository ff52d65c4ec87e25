"""Resizing: torch's values, and gradients that agree with torch's whichever way they are taken."""
import io

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_dg.ops import resize as module
from mmseg_dg.ops.resize import WIDEST, resize


def products(maps, size, align_corners=False):
    """What :func:`resize` does of small float32 maps; here also in float64, to be compared exactly."""
    return module._Bilinear.apply(maps, size, align_corners)


def both(maps, size, align_corners=False):
    """Values and gradients by products and of torch."""
    for function in (products, lambda x, s, a: F.interpolate(x, s, mode='bilinear', align_corners=a)):
        leaf = maps.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        out = function(leaf, size, align_corners)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        out.backward(weight.to(out.dtype))
        yield out.detach(), leaf.grad


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(12, 9), (11, 40), (3, 2), (1, 1), (5, 7)])  # larger, odd, smaller, a point, mixed
def test_gradient_is_that_of_torch(size, align_corners):
    maps = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    (ours, our_grad), (theirs, their_grad) = both(maps, size, align_corners)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(our_grad, their_grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('old, new', [(8, 128), (32, 128), (7, 190), (64, 3)])
def test_single_precision_is_as_close_as_torchs_own(old, new):
    maps = torch.randn(2, 3, old, old)
    (_, ours), (_, theirs) = both(maps, (new, new))
    exact = list(both(maps.double(), (new, new)))[1][1]
    assert (ours - exact).abs().max() <= 2 * (theirs - exact).abs().max() + 1e-6 * exact.abs().max()


def test_other_modes_of_torch():
    """Traces that can be saved, ``torch.func``, forward mode, and what comes after other modes."""
    class Larger(torch.nn.Conv2d):
        def forward(self, x):
            return resize(super().forward(x), (9, 11))

    torch.jit.save(torch.jit.trace(Larger(3, 3, 1), torch.randn(1, 3, 4, 5)), io.BytesIO())
    maps = torch.randn(2, 3, 4, 5, requires_grad=True)
    gradient = torch.autograd.grad(resize(maps, (9, 11)).square().sum(), maps)[0]
    torch.testing.assert_close(torch.func.grad(lambda x: products(x, (9, 11)).square().sum())(maps), gradient)
    _, tangent = torch.func.jvp(lambda x: products(x, (9, 11)), (maps.detach(), ), (torch.ones_like(maps), ))
    torch.testing.assert_close(tangent, torch.ones(2, 3, 9, 11))
    module._weights.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        resize(torch.randn(1, 1, 4, 5, requires_grad=True), (9, 11)).sum().backward()
    with torch.device('meta'):
        maps.grad = None
        resize(maps, (9, 11)).sum().backward()
    assert maps.grad.device.type == 'cpu'


def test_second_derivative():
    maps = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: products(x, (7, 5)), maps)
    assert torch.autograd.gradgradcheck(lambda x: products(x, (7, 5)), maps)


@pytest.mark.parametrize('case, ours', [('small', True), ('wide', False), ('half', False), ('double', False),
                                        ('channels last', False), ('no gradient', False)])
def test_products_only_where_they_are_faster(monkeypatch, case, ours):
    maps = torch.randn(1, 3, 4, WIDEST + 1 if case == 'wide' else 6)
    maps = maps.to(dict(half=torch.bfloat16, double=torch.float64).get(case, torch.float32))
    maps = maps.contiguous(memory_format=torch.channels_last) if case == 'channels last' else maps
    maps.requires_grad_(case != 'no gradient')
    called = []
    monkeypatch.setattr(module._Bilinear, 'apply', lambda *args: called.append(1) or args[0])
    resize(maps, (9, 9))
    assert bool(called) == ours


def test_gradient_is_not_rounded_under_autocast():
    maps = torch.randn(1, 3, 6, 6, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        resize(maps, (24, 24)).square().sum().backward()  # also the backward pass is in the block
    other = maps.detach().clone().requires_grad_()
    F.interpolate(other, (24, 24), mode='bilinear').square().sum().backward()
    assert maps.grad.dtype == torch.float32
    torch.testing.assert_close(maps.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_same_size_is_the_same_maps():
    maps = torch.randn(1, 3, 4, 6, requires_grad=True)
    assert resize(maps, (4, 6)) is maps
