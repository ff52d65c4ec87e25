"""The fixed frame of evaluation: sizes, centring, padding, and that scores are taken inside it."""
import numpy as np
import pytest

from mmseg_dg.ops.frame import center_crop_pad, in_frame
from mmseg_dg.registry import TRANSFORMS


def run(shape, height, size, **kwargs):
    label = np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1))
    results = dict(img=np.repeat(label[..., None], 3, -1), gt_seg_map=label, seg_fields=['gt_seg_map'],
                   ori_shape=shape, img_shape=shape)
    for config in (dict(type='ResizeToHeight', height=height), dict(type='CenterCropPad', size=size, **kwargs)):
        results = TRANSFORMS.build(config).transform(results)
    return results


def test_wide_images_are_cut():
    found = run((20, 60), 20, (20, 20))
    assert found['ori_shape'] == found['img_shape'] == (20, 20)
    np.testing.assert_array_equal(found['gt_seg_map'][0], np.arange(20, 40))


def test_narrow_images_are_filled_on_both_sides():
    found = run((20, 11), 20, (20, 20))
    label = found['gt_seg_map'][0]
    np.testing.assert_array_equal(label, [255] * 4 + list(range(11)) + [255] * 5)
    assert (found['img'][0, :4] == 0).all()
    assert (run((20, 11), 20, (20, 20), pad_val=dict(seg=0))['gt_seg_map'][0, :4] == 0).all(), 'the released protocol'


@pytest.mark.parametrize('shape, width', [((10, 15), 30), ((40, 60), 30), ((40, 33), 16), ((30, 29), 19)])
def test_height_decides_and_the_width_is_cut_off(shape, width):
    results = TRANSFORMS.build(dict(type='ResizeToHeight', height=20)).transform(
        dict(img=np.zeros((*shape, 3), np.uint8), gt_seg_map=np.zeros(shape, np.uint8), seg_fields=['gt_seg_map']))
    assert results['img'].shape[:2] == results['gt_seg_map'].shape == (20, width) == results['img_shape']
    assert results['scale_factor'] == (width / shape[1], 20 / shape[0])


def test_mapillary_sizes_of_the_protocol():
    """RobustNet: int(width / height * 1536). 1920x1080 gives 2730.67."""
    for shape, width in (((3024, 4032), 2048), ((1080, 1920), 2730), ((2448, 3264), 2048)):
        image = np.zeros((*shape, 3), np.uint8)
        results = TRANSFORMS.build(dict(type='ResizeToHeight', height=1536)).transform(dict(img=image))
        assert results['img_shape'] == (1536, width)


def test_pillow_antialiases_in_the_frame():
    from PIL import Image
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    step = dict(type='ResizeToHeight', height=16, interpolation='bicubic')
    ours, theirs = (TRANSFORMS.build(dict(step, backend=backend)).transform(dict(img=image))['img']
                    for backend in ('cv2', 'pillow'))
    small = Image.fromarray(image).resize((24, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(theirs, np.asarray(small))
    assert ours.std() > 1.3 * theirs.std()


def test_center_of_odd_differences():
    array = np.arange(7)[None]
    np.testing.assert_array_equal(center_crop_pad(array, (1, 4), 0), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(center_crop_pad(array, (2, 8), 9), [[0, 1, 2, 3, 4, 5, 6, 9], [9] * 8])


def test_pictures_are_drawn_in_the_frame():
    image = np.random.default_rng(0).integers(0, 256, (10, 30, 3), dtype=np.uint8)
    assert in_frame(image, (10, 30), None) is image
    np.testing.assert_array_equal(in_frame(image, (10, 10), (1.0, 1.0)), image[:, 10:20])
    assert in_frame(image, (20, 20), (2.0, 2.0)).shape == (20, 20, 3)


@pytest.mark.parametrize('config', [dict(type='ResizeToHeight', height=0), dict(type='CenterCropPad', size=(3, 0)),
                                    dict(type='CenterCropPad', size=3, pad_val=dict(label=0)),
                                    dict(type='CentroidCrop', crop_size=0),
                                    dict(type='CentroidCrop', crop_size=3, pad_val=dict(label=0))])
def test_bad_arguments(config):
    with pytest.raises(ValueError, match=config['type']):
        TRANSFORMS.build(config)
