"""Strong views: what is drawn, and what it does to an image."""
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter

from mmseg_dg.ops import StrongJitter, StrongView, apply_strong_view, draw_strong_view


def photo(size=48, seed=0):
    """A smooth picture (3, size, size) in [0, 1], with 8-bit values."""
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode='bicubic').clamp(0, 1)
    return (smooth[0] * 255).round() / 255


def as_pil(image):
    return Image.fromarray((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def as_tensor(picture):
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def only(**steps):
    """A jitter with neutral values but the given ones."""
    return StrongView(jitter=StrongJitter(**{**dict(brightness=1., contrast=1., saturation=1., hue=0.,
                                                    order=(0, 1, 2, 3)), **steps}))


def test_draws_have_the_probabilities_and_ranges_of_the_specification():
    rng = np.random.RandomState(0)
    views = [draw_strong_view(rng) for _ in range(4000)]
    jitters = [v.jitter for v in views if v.jitter is not None]
    sigmas = [v.sigma for v in views if v.sigma is not None]
    for count, probability in ((len(jitters), 0.8), (sum(v.grayscale for v in views), 0.2), (len(sigmas), 0.5)):
        assert abs(count / 4000 - probability) < 4 * math.sqrt(probability * (1 - probability) / 4000)
    for name, low, high in (('brightness', 0.5, 1.5), ('contrast', 0.5, 1.5), ('saturation', 0.5, 1.5),
                            ('hue', -0.25, 0.25)):
        values = [getattr(j, name) for j in jitters]
        assert low <= min(values) < low + 0.01 and high - 0.01 < max(values) <= high
        assert abs(np.mean(values) - (low + high) / 2) < 0.03
    assert 0.1 <= min(sigmas) < 0.11 and 1.99 < max(sigmas) <= 2
    assert len({j.order for j in jitters}) == 24


def test_draws_repeat_and_do_not_depend_on_earlier_decisions():
    first = [draw_strong_view(np.random.RandomState(3)) for _ in range(2)]
    assert first[0] == first[1] and first[0] != draw_strong_view(np.random.RandomState(4))
    a, b = np.random.RandomState(5), np.random.RandomState(5)
    draw_strong_view(a)
    draw_strong_view(b, jitter_probability=0., blur_probability=0.)
    assert draw_strong_view(a) == draw_strong_view(b), 'one decision shifted the next draw'


@pytest.mark.parametrize('name, enhance', [
    ('brightness', ImageEnhance.Brightness), ('contrast', ImageEnhance.Contrast), ('saturation', ImageEnhance.Color)])
@pytest.mark.parametrize('factor', [0.5, 1.37])
def test_factors_mean_what_they_mean_in_pillow(name, enhance, factor):
    image = photo()
    expected = as_tensor(enhance(as_pil(image)).enhance(factor))
    assert (apply_strong_view(image, only(**{name: factor})) - expected).abs().max() <= 1.6 / 255


def test_hue_turns_red_into_green_and_keeps_gray():
    red = torch.tensor([1., 0., 0.]).view(3, 1, 1).expand(3, 4, 4)
    turned = apply_strong_view(red, only(hue=1 / 3))
    torch.testing.assert_close(turned[:, 0, 0], torch.tensor([0., 1., 0.]), atol=1e-4, rtol=0)
    gray = torch.full((3, 4, 4), 0.4)
    torch.testing.assert_close(apply_strong_view(gray, only(hue=0.2)), gray)


def test_steps_follow_the_drawn_order():
    image = photo()
    steps = dict(brightness=1.5, contrast=0.5)
    a = apply_strong_view(image, only(order=(0, 1, 2, 3), **steps))
    b = apply_strong_view(image, only(order=(1, 0, 2, 3), **steps))
    assert (a - b).abs().max() > 0.05
    expected = ImageEnhance.Contrast(ImageEnhance.Brightness(as_pil(image)).enhance(1.5)).enhance(0.5)
    assert (a - as_tensor(expected)).abs().max() <= 2 / 255


def test_grayscale_and_blur_are_those_of_pillow():
    image = photo()
    gray = apply_strong_view(image, StrongView(grayscale=True))
    assert torch.equal(gray[0], gray[1]) and torch.equal(gray[1], gray[2])
    assert (gray - as_tensor(as_pil(image).convert('L').convert('RGB'))).abs().max() <= 1 / 255
    blurred = apply_strong_view(image, StrongView(sigma=1.7))
    expected = as_tensor(as_pil(image).filter(ImageFilter.GaussianBlur(1.7)))
    assert (blurred - expected)[:, 8:-8, 8:-8].abs().max() <= 2.5 / 255, 'Pillow approximates by box filters'
    assert apply_strong_view(image[:, :3, :3], StrongView(sigma=2.)).shape == (3, 3, 3), 'a tiny image is no error'


def test_values_stay_in_range_and_the_input_is_kept():
    image = photo()
    before = image.clone()
    for seed in range(30):
        out = apply_strong_view(image, draw_strong_view(np.random.RandomState(seed)))
        assert -1e-6 <= float(out.min()) and float(out.max()) <= 1 + 1e-6 and out.shape == image.shape
    assert torch.equal(image, before) and apply_strong_view(image, StrongView()) is image


@pytest.mark.parametrize('arguments, words', [
    (dict(hue=0.6), 'hue'), (dict(brightness=-1), 'brightness'), (dict(blur_probability=2), 'blur_probability'),
    (dict(blur_sigma=(0, 1)), 'blur_sigma')])
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        draw_strong_view(np.random.RandomState(0), **arguments)


def test_bad_images_and_orders():
    with pytest.raises(ValueError, match=r'\(3, H, W\)'):
        apply_strong_view(torch.zeros(1, 3, 4, 4), StrongView())
    with pytest.raises(ValueError, match='permutation'):
        apply_strong_view(photo(), only(order=(0, 0, 1, 2)))
