"""Color jitter: recorded draws and outputs of kornia 0.5.8, and what holds for any image."""
import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_dg.ops import (
    JitterParams,
    class_mask,
    color_jitter,
    denormalize,
    draw_jitter_params,
    gaussian_blur,
    hsv_to_rgb,
    mix,
    normalize,
    rgb_to_hsv,
)
from mmseg_dg.ops import color as color_module

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
IDENTITY = JitterParams(1., 1., 1., 0., (0, 1, 2, 3))
CLOSE = dict(rtol=0, atol=3e-6)


def random_image(seed, *shape, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.claim('DAFormer')
def test_draws_of_torch_seeds(recorded):
    for seed, drawn in enumerate(recorded('strong_transform')['draws']):
        params = draw_jitter_params(torch.Generator().manual_seed(seed))
        assert params.brightness == drawn['brightness_factor'][0]
        assert params.contrast == drawn['contrast_factor'][0]
        assert params.hue == drawn['hue_factor'][0]
        assert params.saturation == drawn['saturation_factor'][0]
        assert list(params.order) == drawn['order']


def test_draw_of_seed_0_is_the_one_of_the_spec():
    params = draw_jitter_params(torch.Generator().manual_seed(0))
    drawn = (params.brightness, params.contrast, params.hue, params.saturation)
    assert drawn == pytest.approx((.99850267, 1.10728872, -.16460903, .85281223), abs=5e-9)
    assert params.order == (3, 1, 0, 2)


def test_draws_leave_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    draw_jitter_params(torch.Generator().manual_seed(5))
    assert torch.equal(torch.rand(3), expected)


def test_draws_stay_within_strength():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        params = draw_jitter_params(generator, strength=0.05)
        assert all(0.95 - 1e-6 <= f <= 1.05 + 1e-6 for f in (params.brightness, params.contrast, params.saturation))
        assert abs(params.hue) <= 0.05 + 1e-6
    still = draw_jitter_params(generator, strength=0.)
    assert (still.brightness, still.contrast, still.saturation, still.hue) == (1., 1., 1., 0.)


@pytest.mark.claim('DAFormer')
def test_hsv_conversions(recorded):
    record = recorded('strong_transform')
    torch.testing.assert_close(rgb_to_hsv(record['x01']), record['rgb_to_hsv'], **CLOSE)
    torch.testing.assert_close(hsv_to_rgb(record['rgb_to_hsv']), record['hsv_to_rgb'], **CLOSE)


@pytest.mark.claim('DAFormer')
def test_single_operations(recorded):
    functions = dict(brightness=color_module._shift_brightness, contrast=color_module._scale_contrast,
                     saturation=color_module._scale_saturation, hue=color_module._shift_hue)
    record = recorded('strong_transform')
    for name, expected in record['single'].items():
        operation, amount = name.split('_')
        actual = functions[operation](record['x01'], float(amount))
        torch.testing.assert_close(actual, expected, msg=lambda text, name=name: f'{name}: {text}', **CLOSE)


@pytest.mark.claim('DAFormer')
def test_orders(recorded):
    record = recorded('strong_transform')
    for case in record['order']:
        actual = color_jitter(record['x01'], JitterParams(**record['order_factors'], order=case['order']))
        torch.testing.assert_close(actual, case['out'], **CLOSE)


@pytest.mark.claim('DAFormer')
def test_whole_strong_transform(recorded):
    """Mix, jitter and blur of the official code from the seeds alone (image 0 is pasted onto image 1)."""
    for case in recorded('strong_transform')['seeded']:
        generator = torch.Generator().manual_seed(case['seed'])
        rng = np.random.RandomState(case['seed'])
        mask = case['mask'][0, 0].bool()
        step = case.get('image_stride', 1)
        image = mix(mask[::step, ::step], case['img'][0], case['img'][1]).unsqueeze(0)
        if case['color_jitter'] > 0.2:
            jittered = color_jitter(denormalize(image, MEAN, STD), draw_jitter_params(generator))
            image = normalize(jittered, MEAN, STD)
        if case['blur'] > 0.5:
            sigma = rng.uniform(0.15, 1.15)
            assert sigma == case['sigma'][0]
            image = gaussian_blur(image, sigma)
        # Normalized values: one [0, 1] step of 1e-6 is 4.4e-6 here.
        rest = case.get('out_stride', 1) // step
        torch.testing.assert_close(image[..., ::rest, ::rest], case['out'], rtol=0, atol=2e-5)
        label = case['gt'][0, 0]  # the record's second label is the first one upside down
        assert torch.equal(mix(mask, label, label.flip(0)), case['target'][0, 0])
        assert torch.equal(class_mask(label, label[mask].unique()), mask)


def test_agrees_with_kornias_old_jitter():
    augmentation = pytest.importorskip('kornia.augmentation')
    if not hasattr(augmentation, 'ColorJiggle'):
        pytest.skip('this kornia has no ColorJiggle')
    jiggle = augmentation.ColorJiggle(0.2, 0.2, 0.2, 0.2, p=1.)
    image = random_image(0, 2, 3, 9, 11)
    for seed in range(6):
        params = draw_jitter_params(torch.Generator().manual_seed(seed))
        recorded = jiggle.forward_parameters(image.shape)
        for name in ('brightness', 'contrast', 'hue', 'saturation'):
            recorded[f'{name}_factor'] = torch.full((2, ), getattr(params, name))
        recorded['order'] = torch.tensor(params.order)
        torch.testing.assert_close(color_jitter(image, params), jiggle(image, params=recorded), **CLOSE)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_identity_factors_keep_the_image(seed, order):
    image = random_image(seed, 3, 5, 4, dtype=torch.float64)
    out = color_jitter(image, IDENTITY._replace(order=tuple(order)))
    # The saturation's 1e-6 in the denominator shifts dark channels by as much at every conversion.
    torch.testing.assert_close(out, image, rtol=0, atol=4e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_any_jitter_stays_in_range_and_keeps_its_input(seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, 4, 4, generator=generator)
    before = image.clone()
    params = draw_jitter_params(generator, 0.5)
    out = color_jitter(image, params)
    assert torch.equal(image, before)
    assert out.min() >= -1e-6 and out.max() <= 1 + 1e-6
    for single, expected in zip(image, out):
        torch.testing.assert_close(color_jitter(single, params), expected, rtol=0, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(rgb=st.tuples(*[st.floats(0, 1)] * 3))
def test_hsv_is_the_textbook_one(rgb):
    image = torch.tensor(rgb, dtype=torch.float64).view(3, 1, 1)
    hue, saturation, value = rgb_to_hsv(image).flatten().tolist()
    expected = colorsys.rgb_to_hsv(*rgb)
    assert value == expected[2]
    assert saturation == pytest.approx(expected[1] * value / (value + 1e-6), abs=1e-9)
    if expected[1] * expected[2] > 1e-6:
        turn = hue / (2 * np.pi) - expected[0]
        assert turn - round(turn) == pytest.approx(0, abs=1e-9)
    back = hsv_to_rgb(torch.tensor([expected[0] * 2 * np.pi, *expected[1:]], dtype=torch.float64).view(3, 1, 1))
    assert back.flatten().tolist() == pytest.approx(list(rgb), abs=1e-9)


def test_gray_has_hue_0_and_keeps_its_gray():
    gray = torch.full((3, 2, 2), 0.4)
    assert torch.equal(rgb_to_hsv(gray)[:2], torch.zeros(2, 2, 2))
    out = color_jitter(gray, IDENTITY._replace(hue=0.3, saturation=1.2))
    torch.testing.assert_close(out, gray)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 1e-3), (torch.bfloat16, 8e-3), (torch.float64, 1e-6)])
def test_any_float_dtype(dtype, tolerance):
    image = random_image(0, 3, 6, 6)
    params = draw_jitter_params(torch.Generator().manual_seed(3))
    out = color_jitter(image.to(dtype), params)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), color_jitter(image, params), rtol=0, atol=2 * tolerance)


def test_normalize_round_trip():
    image = random_image(0, 2, 3, 4, 5, dtype=torch.float64)
    normalized = normalize(image, MEAN, torch.tensor(STD))
    expected = (image[1, 2, 3, 4].item() * 255 - MEAN[2]) / STD[2]
    assert normalized[1, 2, 3, 4].item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(denormalize(normalized, torch.tensor(MEAN).view(1, 3, 1, 1), STD), image)


def test_wrong_arguments():
    image = torch.rand(3, 4, 4)
    with pytest.raises(ValueError, match=r'0\.6'):
        draw_jitter_params(torch.Generator(), 0.6)
    with pytest.raises(ValueError, match=r'\(2, 4, 4\)'):
        color_jitter(torch.rand(2, 4, 4), IDENTITY)
    with pytest.raises(ValueError, match='uint8'):
        color_jitter((image * 255).to(torch.uint8), IDENTITY)
    with pytest.raises(ValueError, match=r'\(0, 1, 2, 2\)'):
        color_jitter(image, IDENTITY._replace(order=(0, 1, 2, 2)))
    with pytest.raises(ValueError, match='std must hold 3 values, got 2'):
        normalize(image, MEAN, [1., 2.])
    with pytest.raises(ValueError, match='mean must hold 3 values, got 4'):
        denormalize(image, [1.] * 4, STD)
