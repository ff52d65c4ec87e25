"""Random sizes relative to the image's own, and the two ways to shrink."""
import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_dg.registry import TRANSFORMS


def rescale(ratio_range, shape, seed=0):
    np.random.seed(seed)
    label = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    results = dict(img=np.zeros((*shape, 3), np.uint8), gt_seg_map=label, seg_fields=['gt_seg_map'])
    return TRANSFORMS.build(dict(type='RandomRescale', ratio_range=ratio_range)).transform(results)


@pytest.mark.parametrize('shape', [(30, 50), (50, 30)])
def test_longer_side_is_uniform_and_the_shape_kept(shape):
    longer = []
    for seed in range(300):
        found = rescale((0.5, 2.0), shape, seed)
        assert found['img'].shape[:2] == found['gt_seg_map'].shape == found['img_shape']
        longer.append(max(found['img_shape']))
        assert min(found['img_shape']) == int(longer[-1] * 30 / 50 + 0.5)
        assert found['scale_factor'] == (found['img_shape'][1] / shape[1], found['img_shape'][0] / shape[0])
    assert min(longer) >= 25 and max(longer) <= 100
    counts = np.histogram(longer, bins=4, range=(25, 101))[0]
    assert ((counts - 75)**2 / 75).sum() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


def test_labels_are_not_mixed():
    found = rescale((2.0, 2.0), (4, 6))
    np.testing.assert_array_equal(found['gt_seg_map'], np.kron(np.arange(24).reshape(4, 6), np.ones((2, 2))))


@pytest.mark.parametrize('ratio_range', [(0, 1), (2, 1), (1, )])
def test_bad_range(ratio_range):
    with pytest.raises(ValueError, match='smallest, largest'):
        TRANSFORMS.build(dict(type='RandomRescale', ratio_range=ratio_range))


def shrink(image, factor, backend, interpolation='bicubic', label=None):
    np.random.seed(0)
    results = dict(img=image, gt_seg_map=np.zeros(image.shape[:2], np.uint8) if label is None else label,
                   seg_fields=['gt_seg_map'])
    return TRANSFORMS.build(dict(type='RandomRescale', ratio_range=(factor, factor), interpolation=interpolation,
                                 backend=backend)).transform(results)


@pytest.mark.parametrize('factor', [0.5, 0.75, 1.6])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_pillow_is_pillow(factor, interpolation):
    """Images as PIL resizes them, labels to PIL's nearest neighbor: what published code reads and resizes."""
    rng = np.random.default_rng(0)
    image, label = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((50, 83, 3), (50, 83)))
    found = shrink(image, factor, 'pillow', interpolation, label)
    size = found['img'].shape[1::-1]
    how = getattr(Image.Resampling, interpolation.upper())
    np.testing.assert_array_equal(found['img'], np.asarray(Image.fromarray(image).resize(size, how)))
    np.testing.assert_array_equal(found['gt_seg_map'],
                                  np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST)))


def laplacian_spread(image):
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float64), cv2.CV_64F).std())


def surplus(images, factor, interpolation):
    """By how much the Laplacian of OpenCV's small images spreads more than that of Pillow's, mean over images."""
    cubic = [[laplacian_spread(shrink(image, factor, backend, interpolation)['img']) for backend in ('cv2', 'pillow')]
             for image in images]
    return float(np.mean([ours / theirs for ours, theirs in cubic])) - 1


#: Measured on the frames below by this test (docs/deft.md, "Resizing").
SURPLUS = {('bicubic', 0.5): 0.66, ('bicubic', 0.6): 0.55, ('bicubic', 0.75): 0.41,
           ('bilinear', 0.5): 0.61, ('bilinear', 0.6): 0.54, ('bilinear', 0.75): 0.35}


@pytest.mark.parametrize('interpolation, factor', SURPLUS)
def test_opencv_does_not_antialias_street_scenes(shared, interpolation, factor):
    frames = sorted((shared / 'data/camvid_day/img/train').glob('*.jpg'))[:10]
    found = surplus([cv2.imread(str(frame)) for frame in frames], factor, interpolation)
    assert found == pytest.approx(SURPLUS[interpolation, factor], abs=0.01)


def test_only_pillow_loses_what_a_small_image_cannot_hold():
    """Stripes of one pixel are gray at half size; OpenCV keeps some of them as they happen to fall."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::3] = 255
    contrast = {backend: shrink(stripes, 0.5, backend)['img'][:, 8:-8].std() for backend in ('cv2', 'pillow')}
    assert contrast['cv2'] > 2 * contrast['pillow']
    assert shrink(stripes, 0.5, 'pillow')['img'].mean() == pytest.approx(stripes.mean(), abs=3)


@pytest.mark.parametrize('kind', [dict(type='RandomRescale'), dict(type='ResizeToHeight', height=3)])
@pytest.mark.parametrize('options, text', [
    (dict(backend='pil'), "'cv2' or 'pillow', got 'pil'"),
    (dict(backend='pillow', interpolation='area'), "'pillow' has the interpolations .*, got 'area'"),
    (dict(interpolation='cubic'), "'cv2' has the interpolations .*, got 'cubic'")])
def test_bad_backend(kind, options, text):
    with pytest.raises(ValueError, match=f'{kind["type"]}: .*{text}'):
        TRANSFORMS.build(dict(kind, **options))


def test_pillow_wants_bytes():
    with pytest.raises(ValueError, match="a.png: backend='pillow' resizes uint8 arrays, 'img' is float32"):
        TRANSFORMS.build(dict(type='RandomRescale', backend='pillow')).transform(
            dict(img=np.zeros((4, 4, 3), np.float32), img_path='a.png'))
