"""Channel statistics and consistency of predictions."""
import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.ops import channel_statistics, restyle, style_consistency


def test_statistics_are_unbiased():
    maps = torch.tensor([[[[1., 2.], [3., 6.]]]])
    mean, std = channel_statistics(maps)
    assert mean.item() == 3 and std.item() == pytest.approx((14 / 3)**0.5 + 1e-7)


def test_restyled_maps_have_the_style():
    maps = torch.randn(2, 3, 8, 8, dtype=torch.float64) * 4 + 7
    mean, std = torch.randn(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64) + 0.5
    found = channel_statistics(restyle(maps, mean, std))
    torch.testing.assert_close(found[0], mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], std, rtol=1e-5, atol=1e-6)
    constant = restyle(torch.full((1, 1, 4, 4), 5.), torch.tensor([[2.]]), torch.tensor([[3.]]))
    torch.testing.assert_close(constant, torch.full((1, 1, 4, 4), 2.))


def test_own_statistics_have_no_gradient():
    maps = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    std = torch.tensor([[2., 3.]], dtype=torch.float64)
    restyle(maps, torch.zeros_like(std), std).sum().backward()
    expected = (std / channel_statistics(maps.detach())[1])[..., None, None].expand_as(maps)
    torch.testing.assert_close(maps.grad, expected)  # with statistics in the graph, the sum's gradient would be 0


def test_consistency_is_the_mean_divergence_from_the_mixture():
    a, b = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(2, 5, 3, 4, dtype=torch.float64)
    p, q = (x.softmax(1).permute(0, 2, 3, 1).reshape(-1, 5) for x in (a, b))
    mixture = ((p + q) / 2).clamp(1e-7, 1).log()
    expected = 0.5 * (F.kl_div(mixture, q, reduction='batchmean') + F.kl_div(mixture, p, reduction='batchmean'))
    torch.testing.assert_close(style_consistency(a, b), expected, rtol=1e-12, atol=0)
    assert style_consistency(a, a).abs() < 1e-15


def test_consistency_of_opposite_predictions_is_finite_with_gradients():
    a = torch.tensor([[300., -300.]]).reshape(1, 2, 1, 1).requires_grad_()
    b = (-a.detach()).requires_grad_()
    value = style_consistency(a, b)
    value.backward()
    assert value.item() == pytest.approx(torch.log(torch.tensor(2.)).item(), rel=1e-6)
    assert torch.isfinite(a.grad).all() and torch.isfinite(b.grad).all()


def test_half_precision_is_computed_in_float32():
    a, b = torch.randn(1, 4, 2, 2).bfloat16(), torch.randn(1, 4, 2, 2).bfloat16()
    assert style_consistency(a, b).item() == style_consistency(a.float(), b.float()).item()
    assert restyle(a, torch.zeros(1, 4), torch.ones(1, 4)).dtype == torch.bfloat16


def test_shapes_must_agree():
    with pytest.raises(ValueError, match='must agree'):
        style_consistency(torch.zeros(1, 2, 3, 3), torch.zeros(2, 2, 3, 3))
