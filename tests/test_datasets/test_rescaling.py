"""Random sizes relative to the image's own."""
import numpy as np
import pytest

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
