"""Noise of denoising pretraining against its formulas."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops.denoising import (
    add_noise,
    check_noise,
    clean_estimate,
    draw_sigma,
    noise_gamma,
    psnr,
)
from mmseg_dg.ops.noise import seeded_noise


def batch(seed=0, count=2, size=16):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64) * 2 - 1
    return images, torch.randn(images.shape, generator=generator, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(sigma=st.floats(0., 3.))
def test_gamma_identity(sigma):
    """(x + sigma e) / sqrt(1 + sigma^2) = sqrt(gamma) x + sqrt(1 - gamma) e with gamma = 1 / (1 + sigma^2)."""
    images, noise = batch()
    level = torch.full((2, ), sigma, dtype=torch.float64)
    gamma = 1 / (1 + sigma**2)
    assert noise_gamma(level)[0].item() == pytest.approx(gamma)
    expected = math.sqrt(gamma) * images + math.sqrt(1 - gamma) * noise
    torch.testing.assert_close(add_noise(images, noise, level), expected, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(add_noise(images, noise, level, 'simple'), images + sigma * noise)


def test_specified_values():
    """docs/behavior/ddep.md#confirmed-inferred-unconfirmed: sigma 0.22."""
    gamma = noise_gamma(torch.tensor(0.22, dtype=torch.float64)).item()
    assert (round(gamma, 4), round(gamma**0.5, 4), round((1 - gamma)**0.5, 4)) == (0.9538, 0.9766, 0.2149)


@pytest.mark.parametrize('form', ['simple', 'scaled'])
def test_the_true_noise_gives_the_image_back(form):
    images, noise = batch(count=3)
    sigma = torch.tensor([0., 0.22, 1.5], dtype=torch.float64)
    noisy = add_noise(images, noise, sigma, form)
    torch.testing.assert_close(clean_estimate(noisy, noise, sigma, form), images)
    start = clean_estimate(noisy, torch.zeros_like(noise), sigma, form)
    torch.testing.assert_close(start, images + sigma.view(3, 1, 1, 1) * noise)


def test_scaled_noise_keeps_unit_variance():
    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.randn(1, 3, 200, 200, generator=generator) for _ in range(2))
    assert add_noise(images, noise, torch.tensor([0.8])).var().item() == pytest.approx(1., abs=0.02)
    assert add_noise(images, noise, torch.tensor([0.8]), 'simple').var().item() == pytest.approx(1.64, abs=0.03)


def test_psnr_of_the_noisy_image():
    """10 log10(4 / sigma^2): 19.2 dB at sigma 0.22 (docs/behavior/ddep.md#check-values)."""
    images = torch.zeros(2, 3, 256, 256)
    sigma = torch.tensor([0.22, 0.5])
    noisy = add_noise(images, seeded_noise(images, 3), sigma)
    values = psnr(clean_estimate(noisy, torch.zeros_like(noisy), sigma), images)
    assert values[0].item() == pytest.approx(10 * math.log10(4 / 0.22**2), abs=0.05) == pytest.approx(19.2, abs=0.1)
    assert values[1].item() == pytest.approx(10 * math.log10(4 / 0.25), abs=0.05)
    assert psnr(images, images).isinf().all()


def test_noise_is_a_function_of_the_seed():
    like = torch.zeros(2, 3, 8, 8)
    state = torch.get_rng_state()
    assert torch.equal(seeded_noise(like, 5), seeded_noise(like, 5))
    assert not torch.equal(seeded_noise(like, 5), seeded_noise(like, 6))
    assert torch.equal(torch.get_rng_state(), state), 'the global generator must not be used'
    assert seeded_noise(like.half(), 5).dtype == torch.float32
    assert seeded_noise(like, 5, torch.float64).dtype == torch.float64


def test_sigma_is_drawn_only_from_an_interval():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert draw_sigma(0.22, 0.22, 3, generator).tolist() == pytest.approx([0.22] * 3)
    assert torch.equal(generator.get_state(), before)
    drawn = draw_sigma(0.2, 0.3, 1000, generator)
    assert 0.2 <= drawn.min() < 0.205 and 0.295 < drawn.max() <= 0.3 and len(drawn.unique()) > 900


@pytest.mark.parametrize('form, sigma, message', [
    ('scaled', -0.1, 'not be negative'), ('scaled', [0.3, 0.2], 'this order'), ('poisson', 0.2, 'simple, scaled'),
    ('scaled', [0.1, 0.2, 0.3], 'lowest, highest'), ('scaled', float('nan'), 'number'), ('scaled', '0.2', 'number')])
def test_bad_settings(form, sigma, message):
    with pytest.raises(ValueError, match=message):
        check_noise(form, sigma)


def test_unknown_forms_are_refused_wherever_they_are_used():
    images = torch.zeros(1, 3, 4, 4)
    for use in (add_noise, clean_estimate):
        with pytest.raises(ValueError, match="simple, scaled, got 'poisson'"):
            use(images, images, torch.tensor([0.2]), form='poisson')


def test_bad_sizes():
    with pytest.raises(ValueError, match='sigma is'):
        add_noise(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.tensor(0.2))
    with pytest.raises(ValueError, match='one size'):
        psnr(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
