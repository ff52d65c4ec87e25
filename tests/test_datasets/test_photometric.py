"""Color jitter and blur of samples, against other people's implementations."""
import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmseg_dg.datasets.transforms.photometric import JitterParameters, gaussian_blur, jitter
from mmseg_dg.registry import TRANSFORMS

DEFT = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), (5, 5), 0)


@pytest.mark.parametrize('values', [(1.3, 1, 1, 0), (1, 0.7, 1, 0), (1, 1, 1.4, 0), (0.8, 1.2, 0.6, 0)])
def test_factors_agree_with_kornia(image, values):
    kornia = pytest.importorskip('kornia')
    import torch
    ours = jitter(image, JitterParameters(*values))
    theirs = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
    theirs = kornia.enhance.adjust_brightness_accumulative(theirs, float(values[0]))
    theirs = kornia.enhance.adjust_contrast_with_mean_subtraction(theirs, float(values[1]))
    theirs = kornia.enhance.adjust_saturation_with_gray_subtraction(theirs, float(values[2]))
    expected = (theirs[0].permute(1, 2, 0).numpy()[..., ::-1] * 255)
    assert np.abs(ours - expected).max() <= 3, 'PIL rounds to whole numbers between the operations'


def test_hue_moves_around_the_circle(image):
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 2] = 200  # BGR
    assert jitter(red, JitterParameters(1, 1, 1, 1 / 3))[0, 0].argmax() == 1, 'a third of the circle is green'
    assert np.abs(jitter(red, JitterParameters(1, 1, 1, -1 / 3))[0, 0].astype(int) - [200, 0, 0]).max() <= 6
    there = jitter(image, JitterParameters(1, 1, 1, 0.1))
    back = jitter(there, JitterParameters(1, 1, 1, -0.1))
    assert np.abs(there.astype(int) - image).mean() > 3
    assert np.abs(back.astype(int) - image).mean() < 3


def test_torchvision_agrees(image):
    functional = pytest.importorskip('torchvision.transforms.functional')
    from PIL import Image
    picture = Image.fromarray(image[..., ::-1].copy())
    for operation, value in (('brightness', 1.2), ('contrast', 0.7), ('saturation', 1.3), ('hue', -0.08)):
        picture = getattr(functional, f'adjust_{operation}')(picture, value)
    ours = jitter(image, JitterParameters(1.2, 0.7, 1.3, -0.08))
    np.testing.assert_array_equal(ours, np.asarray(picture)[..., ::-1])


def test_parameters_are_uniform_and_orders_differ():
    transform = TRANSFORMS.build(dict(DEFT, prob=0.5))
    np.random.seed(0)
    draws = [transform.draw() for _ in range(400)]
    for name, low, high in (('brightness', 0.6, 1.4), ('contrast', 0.6, 1.4), ('saturation', 0.6, 1.4),
                            ('hue', -0.1, 0.1)):
        values = np.array([getattr(d, name) for d in draws])
        assert values.min() >= low and values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.1 * (high - low))
        assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.1)
    assert len({d.order for d in draws}) == 24


def test_probability_of_jitter_and_blur(image):
    np.random.seed(0)
    transform = TRANSFORMS.build(dict(DEFT, prob=0.5))
    changed = [not np.array_equal(transform(dict(img=image))['img'], image) for _ in range(200)]
    assert 70 < sum(changed) < 130
    always = TRANSFORMS.build(dict(type='RandomGaussianBlur', sigma=(0.5, 1.3)))
    assert all(not np.array_equal(always(dict(img=image))['img'], image) for _ in range(20))
    never = TRANSFORMS.build(dict(type='RandomGaussianBlur', prob=0.0))
    assert np.array_equal(never(dict(img=image))['img'], image)


@pytest.mark.parametrize('sigma', [0.15, 0.7, 1.3])
def test_blur_agrees_with_scipy(image, sigma):
    expected = np.stack([gaussian_filter(image[..., c].astype(float), sigma, mode='nearest', truncate=4.0)
                         for c in range(3)], -1)
    assert np.abs(gaussian_blur(image, sigma) - expected).max() <= 1.01


def test_same_seed_same_picture(image):
    pipeline = [TRANSFORMS.build(dict(DEFT, prob=0.5)), TRANSFORMS.build(dict(type='RandomGaussianBlur'))]

    def run(seed):
        np.random.seed(seed)
        results = dict(img=image)
        for step in pipeline:
            results = step(results)
        return results['img']

    assert np.array_equal(run(3), run(3)) and not np.array_equal(run(3), run(4))
    assert run(3).dtype == np.uint8 and run(3).flags['C_CONTIGUOUS']


@pytest.mark.parametrize('config, text', [
    (dict(DEFT, hue=0.6), 'hue at most 0.5'), (dict(DEFT, brightness=-1), '>= 0'), (dict(DEFT, prob=2), 'prob'),
    (dict(type='RandomGaussianBlur', sigma=(0, 1)), 'sigma'), (dict(type='RandomGaussianBlur', prob=-1), 'prob')])
def test_bad_arguments(config, text):
    with pytest.raises(ValueError, match=text):
        TRANSFORMS.build(config)
