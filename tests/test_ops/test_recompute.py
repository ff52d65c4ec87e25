"""Maps that the backward pass makes again: the same gradients, fewer maps kept."""
import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.models.decode_heads.fusion import build_fusion, fuse_levels
from mmseg_dg.ops.recompute import recomputed


def kept(fn):
    """Bytes that are held after a forward pass (its result and what it keeps), and the result."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = fn()
    return sum(e.nbytes() for e in profile.profiler.kineto_results.events() if e.name() == '[memory]'), result


def test_gradients_are_the_same_and_it_is_made_once_per_backward():
    small = torch.randn(1, 2, 4, 4, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, requires_grad=True)
    made = []

    def large():
        made.append(1)
        return F.interpolate(small.detach(), scale_factor=4.)

    def loss(again):
        x = F.interpolate(small, scale_factor=4.)
        if not again:
            return F.conv2d(x, weight).square().sum() + F.conv2d(x, 2 * weight).sum()
        with recomputed(x, large):
            first, second = F.conv2d(x, weight), F.conv2d(x, 2 * weight)
        return first.square().sum() + second.sum()

    plain = torch.autograd.grad(loss(False), (small, weight))
    total = loss(True)
    assert not made
    for _ in range(2):  # a graph that is kept is walked twice
        found = torch.autograd.grad(total, (small, weight), retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(plain, found))
    assert len(made) == 2
    with torch.no_grad(), recomputed(small, large):
        F.conv2d(small, weight)
    assert len(made) == 2


@pytest.mark.parametrize('fusion', [dict(type='sep_aspp', dilations=(1, 2)), dict(type='aspp', dilations=(1, 2))])
@pytest.mark.parametrize('act', [dict(type='ReLU'), dict(type='GELU'), None])
def test_a_fusion_is_that_of_its_resized_levels(fusion, act, monkeypatch):
    """As written down: branches with their activations, side by side, into the bottleneck; and what is not kept."""
    torch.manual_seed(0)
    module = build_fusion(fusion, 16, 8, dict(type='BN'), act).double()
    levels = [torch.randn(2, 8, side, side, dtype=torch.float64, requires_grad=True) for side in (16, 8)]

    def written():
        x = torch.cat([levels[0], F.interpolate(levels[1], (16, 16), mode='bilinear')], dim=1)
        return module.bottleneck(torch.cat([branch(x) for branch in module.aspp_modules], dim=1))

    bytes_kept, results = [], []
    for fn in (written, lambda: fuse_levels(module, levels, False)):
        size, out = kept(fn)
        bytes_kept.append(size)
        results.append([out, *torch.autograd.grad(out.square().sum(), [*levels, *module.parameters()])])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    one = 8 * 2 * 8 * 16 * 16  # a map of 8 channels
    # not kept: the resized levels, and with ReLU the branches before they were joined
    assert bytes_kept[0] - bytes_kept[1] >= (4 if act == dict(type='ReLU') else 0) * one
