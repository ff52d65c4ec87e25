"""The recorded official data pipeline, step by step."""
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose

from mmseg_dg.registry import TRANSFORMS

pytestmark = pytest.mark.claim('DAFormer')
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@pytest.fixture(scope='module')
def record(recorded):
    return recorded('pipeline')


def run(steps, **results):
    return Compose([TRANSFORMS.build(step) for step in steps])(results)


def source(record):
    return dict(img=np.ascontiguousarray(record['src_bgr'].numpy()), img_path='p.png', seg_fields=['gt_seg_map'],
                gt_seg_map=np.ascontiguousarray(record['src_label'].numpy()))


def test_sizes_after_resizing(record):
    for name, expected in record['sizes'].items():
        size, scale = name.split('->')
        width, height = map(int, size.split('x'))
        scale = tuple(int(v) for v in scale.strip('()').split(','))
        out = run([dict(type='Resize', scale=scale, keep_ratio=True)], img=np.zeros((height, width, 3), np.uint8))
        assert out['img'].shape[1::-1] == tuple(expected), name


def test_resized_values(record):
    out = run([dict(type='Resize', scale=(320, 180), keep_ratio=True)], **source(record))
    np.testing.assert_array_equal(out['gt_seg_map'], record['rescaled_label_320x180'].numpy())
    step = record.get('rescaled_stride', 1)
    difference = np.abs(out['img'][::step, ::step].astype(int) - record['rescaled_bgr_320x180'].numpy())
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3  # bilinear rounding of another OpenCV


@pytest.mark.parametrize('case', range(8))
def test_crop_and_flip_from_the_same_seed(record, case):
    """Same seed, same draws: resize, crop with cat_max_ratio, flip; image compared after normalization."""
    expected = record['cases'][case]
    np.random.seed(expected['seed'])
    out = run([dict(type='Resize', scale=tuple(expected['img_scale']), keep_ratio=True),
               dict(type='RareClassCrop', crop_size=tuple(expected['crop']), cat_max_ratio=0.75),
               dict(type='RandomFlip', prob=0.5), dict(type='PackStreamInputs')], **source(record))
    assert out['data_samples'].metainfo['flip'] == expected['flip']
    assert torch.equal(out['data_samples'].gt_sem_seg.data, expected['gt'].long())
    if 'img' in expected:
        rgb = out['inputs'].numpy()[::-1].transpose(1, 2, 0)
        normalized = (rgb.astype(np.float32) - np.float32(MEAN)) * np.float32(1 / STD)
        step = expected.get('stride', 1)
        difference = np.abs(normalized[::step, ::step] - expected['img'].numpy().transpose(1, 2, 0))
        assert difference.max() < 1.01 / STD.min() and (difference > 1e-5).mean() < 1e-3


def test_margins(record):
    expected = record['valid_pseudo_mask']
    out = run([dict(type='PseudoLabelMargins', top=30, bottom=240, left=30, right=30)],
              img=np.zeros((*expected['shape'], 3), np.uint8))
    mask = out['valid_pseudo_mask']
    assert mask.sum() == expected['sum'] == 1498952 and out['seg_fields'] == expected['seg_fields']
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert len(rows) == expected['rows'] and rows[0] == expected['first_row'] and len(columns) == expected['cols']


def test_photometric_distortion(record):
    """The color augmentation of the oracle and domain generalization configs is mmseg's, unchanged."""
    for expected in record['photometric']:
        np.random.seed(expected['seed'])
        out = run([dict(type='PhotoMetricDistortion')], img=np.ascontiguousarray(record['src_bgr'].numpy()[:64, :64]))
        step = expected.get('stride', 1)
        difference = np.abs(out['img'][::step, ::step].astype(int) - expected['out'].numpy())
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
