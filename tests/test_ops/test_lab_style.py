"""LAB style augmentation: statistics, ranges, reproducibility."""
import pytest
import torch

from mmseg_dg.methods.lab_style import LABStyle
from mmseg_dg.ops import LABStyleDraws, draw_lab_style, lab_style, rgb_to_unit_lab, unit_lab_to_rgb


def images(count=2, dtype=torch.float64):
    return torch.rand(count, 3, 24, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def test_scaled_lab_of_known_colors():
    """White is (1, 128/255, 128/255), black (0, ...), CIE values of pure red L 53.24, a 80.09, b 67.20."""
    colors = torch.tensor([[1., 1, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.float64).view(3, 3, 1, 1)
    lab = rgb_to_unit_lab(colors).view(3, 3)
    gray = 128 / 255
    expected = torch.tensor([[1, gray, gray], [0, gray, gray],
                             [0.5324, (80.09 + 128) / 255, (67.20 + 128) / 255]], dtype=torch.float64)
    torch.testing.assert_close(lab, expected, atol=2e-3, rtol=0)


def test_round_trip():
    x = images()
    torch.testing.assert_close(unit_lab_to_rgb(rgb_to_unit_lab(x)), x, atol=1e-4, rtol=0)


def test_statistics_are_the_drawn_ones():
    """Inside the gamut and without noise or clamping the result has exactly the wanted LAB mean and deviation."""
    x = 0.4 + 0.2 * images()
    draws = LABStyleDraws(torch.tensor([[0.5, 0.5, 0.5], [0.6, 0.5, 0.49]]), torch.full((2, 3), 0.02), 0)
    lab = rgb_to_unit_lab(lab_style(x, draws, noise=0.))
    torch.testing.assert_close(lab.mean((2, 3)), draws.mean.double(), atol=2e-4, rtol=0)
    torch.testing.assert_close(lab.flatten(2).std(2), draws.std.double(), atol=2e-4, rtol=0)


def test_noise_has_the_given_size_and_follows_the_seed():
    x = 0.4 + 0.2 * images()
    draws = LABStyleDraws(torch.full((2, 3), 0.5), torch.full((2, 3), 0.02), 7)
    clean = rgb_to_unit_lab(lab_style(x, draws, noise=0.))
    noisy = rgb_to_unit_lab(lab_style(x, draws, noise=0.01))
    assert float((noisy - clean).std()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(lab_style(x, draws), lab_style(x, draws))
    assert not torch.equal(lab_style(x, draws), lab_style(x, draws._replace(noise_seed=8)))


def test_output_range_and_gray_images():
    generator = torch.Generator().manual_seed(3)
    x = torch.cat((images(3, torch.float32), torch.full((1, 3, 24, 20), 0.3)))
    out = lab_style(x, draw_lab_style(4, generator))
    assert out.shape == x.shape and out.dtype == x.dtype
    assert torch.isfinite(out).all() and float(out.min()) >= 0 and float(out.max()) <= 1


def test_draws_lie_in_their_ranges():
    draws = draw_lab_style(2000, torch.Generator().manual_seed(0))
    for values, (low, high) in ((draws.mean, (0.2, 0.8)), (draws.std, (0.1, 0.4))):
        assert low <= float(values.min()) < low + 0.01 and high - 0.01 < float(values.max()) <= high
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.01)


def test_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    lab_style(images(), draw_lab_style(2, torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_inputs():
    draws = draw_lab_style(2, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match='draws for 2 images'):
        lab_style(images(3), draws)
    with pytest.raises(ValueError, match='float32 or float64'):
        lab_style(images(2, torch.float16), draws)


def test_doubling_keeps_the_originals_and_repeats_samples():
    from mmseg_dg.registry import MODELS
    preprocessor = MODELS.build(dict(type='MultiStreamDataPreprocessor', mean=[123.675, 116.28, 103.53],
                                     std=[58.395, 57.12, 57.375], bgr_to_rgb=True))
    style = LABStyle(noise=0.)
    x = (images(2, torch.float32) * 255 - preprocessor.mean) / preprocessor.std
    draws = style.draw(2, torch.Generator().manual_seed(1))
    out = style.double(dict(inputs=x, data_samples=['a', 'b']), draws, preprocessor, 'source')
    assert out['data_samples'] == ['a', 'b', 'a', 'b']
    assert torch.equal(out['inputs'][:2], x)
    copies = (out['inputs'][2:] * preprocessor.std + preprocessor.mean) / 255
    torch.testing.assert_close(copies, lab_style(images(2, torch.float32), draws, noise=0.), atol=1e-5, rtol=0)
