"""Loading labels, cropping, margins, packing."""
import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmseg.datasets.transforms import LoadAnnotations as StockLoadAnnotations
from mmseg.datasets.transforms import RandomCrop

from mmseg_dg.datasets import LoadAnnotations, PackStreamInputs, PseudoLabelMargins, RareClassCrop
from mmseg_dg.datasets.label_tables import apply_table, count_ids, full_table, ids_outside, lookup_table
from mmseg_dg.registry import TRANSFORMS

from .trees import LOAD, write_image, write_label

MARGINS = dict(type='PseudoLabelMargins', top=30, bottom=240, left=30, right=30)


def random_label(seed=0, size=(60, 90), classes=19):
    small = np.random.default_rng(seed).integers(0, classes, (size[0] // 6, size[1] // 6)).astype(np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_NEAREST)


def sample(label, **extra):
    return dict(img=np.dstack([label] * 3), gt_seg_map=label, seg_fields=['gt_seg_map'], img_path='p.png', **extra)


@pytest.mark.parametrize('reduce_zero', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 255, 3: 1, 254: 7, 1: 3}, full_table({7: 0, 8: 1})])
def test_label_loader_equals_the_stock_one(tmp_path, label_map, reduce_zero):
    ids = np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8)
    write_label(tmp_path / 'label.png', ids)
    results = []
    for loader in (LoadAnnotations(), StockLoadAnnotations()):
        info = dict(seg_map_path=str(tmp_path / 'label.png'), label_map=label_map, reduce_zero_label=reduce_zero,
                    seg_fields=[])
        loader.transform(info)
        assert info['seg_fields'] == ['gt_seg_map'] and info['gt_seg_map'].dtype == np.uint8
        results.append(info['gt_seg_map'])
    np.testing.assert_array_equal(*results)


def test_label_files_that_are_no_ids(tmp_path):
    cases = dict(color=(np.zeros((4, 4, 3), np.uint8), 'one id per pixel, got shape'),
                 wide=(np.full((4, 4), 300, np.uint16), r'ids 300\.\.300 do not fit'))
    for name, (pixels, text) in cases.items():
        assert cv2.imwrite(str(tmp_path / f'{name}.png'), pixels)
        with pytest.raises(ValueError, match=f'{name}.png: .*{text}'):
            LoadAnnotations().transform(dict(seg_map_path=str(tmp_path / f'{name}.png'), seg_fields=[]))


def test_counting():
    label = random_label(classes=200)
    np.testing.assert_array_equal(count_ids(label[5:20, 7:33]), np.bincount(label[5:20, 7:33].ravel(), minlength=256))
    np.testing.assert_array_equal(count_ids(label.astype(np.int64)), count_ids(label))
    assert count_ids(np.zeros((0, 4), np.uint8)).sum() == 0
    counts = np.zeros(256, int)
    counts[[3, 19, 255]] = 1
    assert ids_outside(counts, 19) == [19] and ids_outside(counts, 19, 0) == [19, 255]
    table = lookup_table({5: 1})
    assert apply_table(np.array([[5, 6]], np.uint8), table).tolist() == [[1, 6]]


def test_crop_equals_mmsegs_random_crop_without_a_wanted_class():
    label = random_label(3, classes=3)
    for seed in range(20):
        outs = []
        for crop in (RareClassCrop(24, cat_max_ratio=0.5), RandomCrop((24, 24), cat_max_ratio=0.5)):
            np.random.seed(seed)
            outs.append((crop.transform(sample(label))['gt_seg_map'], np.random.get_state()[2]))
        np.testing.assert_array_equal(outs[0][0], outs[1][0])
        assert outs[0][1] == outs[1][1]  # as many draws


def test_crop_finds_the_wanted_class_and_cuts_every_field():
    label = np.zeros((60, 90), np.uint8)
    label[:, 45:] = 1
    label[20:26, 30:36] = 7
    crop = RareClassCrop((20, 30), cat_max_ratio=0.99, min_crop_pixels=20, max_tries=200)
    for seed in range(20):
        np.random.seed(seed)
        results = sample(label, wanted_class=7, valid_pseudo_mask=label // 7)
        results['seg_fields'].append('valid_pseudo_mask')
        out = crop.transform(results)
        assert (out['gt_seg_map'] == 7).sum() > 20
        assert out['img'].shape == (20, 30, 3) and out['img_shape'] == (20, 30)
        np.testing.assert_array_equal(out['img'][..., 0], out['gt_seg_map'])
        np.testing.assert_array_equal(out['valid_pseudo_mask'], out['gt_seg_map'] // 7)


def test_number_of_attempts_and_strict_threshold(monkeypatch):
    label = random_label(1)
    crop = RareClassCrop(24, cat_max_ratio=1., min_crop_pixels=10)
    boxes = []
    original = RareClassCrop._random_box
    monkeypatch.setattr(RareClassCrop, '_random_box',
                        lambda self, shape: boxes.append(original(self, shape)) or boxes[-1])
    crop.transform(sample(label, wanted_class=77))  # never there: 1 + 10 attempts, the last is used
    assert len(boxes) == 11
    full = np.full((24, 24), 4, np.uint8)
    full[0, :10] = 9
    boxes.clear()
    crop.transform(sample(full, wanted_class=9))  # exactly 10 is not more than 10
    assert len(boxes) == 11
    full[0, 10] = 9
    boxes.clear()
    crop.transform(sample(full, wanted_class=9))
    assert len(boxes) == 1
    boxes.clear()
    one_class = RareClassCrop(24, cat_max_ratio=0.75, min_crop_pixels=10)
    one_class.transform(sample(np.full((30, 30), 4, np.uint8), wanted_class=9))
    assert len(boxes) == 11 * 11
    boxes.clear()
    RareClassCrop(24).transform(dict(img=np.zeros((40, 40, 3), np.uint8)))  # no label: first box
    assert len(boxes) == 1


def test_accepted_crops_are_distributed_as_with_reloading():
    """Column offsets of 3000 crops here and from a loop that starts over for each attempt, as the official one."""
    label = random_label(5, classes=4)
    label[:, 60:] = 2
    label[10:20, 40:52] = 9
    crop, plain = RareClassCrop(24, min_crop_pixels=30), RandomCrop((24, 24), cat_max_ratio=0.75)
    np.random.seed(0)
    ours = [crop.choose_box(label.shape, label, 9).x1 for _ in range(3000)]
    theirs = []
    for _ in range(3000):
        for _ in range(11):
            box = plain.crop_bbox(sample(label))
            if (plain.crop(label, box) == 9).sum() > 30:
                break
        theirs.append(box[2])
    edges = np.arange(0, 68, 6)
    a, b = np.histogram(ours, edges)[0], np.histogram(theirs, edges)[0]
    use = a + b > 10
    assert use.sum() >= 6
    statistic = ((a - b)[use]**2 / (a + b)[use]).sum()
    assert statistic < use.sum() + 3.3 * np.sqrt(2 * use.sum()) + 5
    assert a[use].max() > 3 * a[use].min()  # the class does pull the crops


def test_crop_arguments():
    with pytest.raises(ValueError, match=r'p.png: 60x90 .* smaller than the crop 64x32'):
        RareClassCrop((64, 32)).transform(sample(random_label()))
    for options, text in ((dict(crop_size=0), 'positive'), (dict(crop_size=(3, 4, 5)), 'height, width'),
                          (dict(crop_size=8, cat_max_ratio=0), 'cat_max_ratio must be > 0'),
                          (dict(crop_size=8, min_crop_pixels=64), 'no crop of')):
        with pytest.raises(ValueError, match=text):
            RareClassCrop(**options)


def test_one_decode_per_file(tmp_path, monkeypatch):
    import mmengine.fileio
    write_image(tmp_path / 'image.png', size=(60, 90))
    write_label(tmp_path / 'label.png', random_label())
    reads = []
    original = mmengine.fileio.get
    monkeypatch.setattr(mmengine.fileio, 'get', lambda path, **kw: reads.append(path) or original(path, **kw))
    pipeline = Compose([TRANSFORMS.build(step) for step in LOAD] + [RareClassCrop(24, min_crop_pixels=10)])
    pipeline(dict(img_path=str(tmp_path / 'image.png'), seg_map_path=str(tmp_path / 'label.png'), seg_fields=[],
                  wanted_class=77, reduce_zero_label=False))
    assert sorted(path[-9:] for path in reads) == ['image.png', 'label.png']


def test_margins_travel_with_the_image():
    image = np.zeros((1024, 2048, 3), np.uint8)
    image[30:784, 30:2018] = 1
    steps = [MARGINS, dict(type='Resize', scale=(512, 256), keep_ratio=True),
             dict(type='RandomCrop', crop_size=(200, 200)), dict(type='RandomFlip', prob=1.0),
             dict(type='PackStreamInputs')]
    np.random.seed(0)
    packed = Compose([TRANSFORMS.build(step) for step in steps])(dict(img=image, img_path='p.png'))
    mask = packed['data_samples'].valid_pseudo_mask.data
    assert mask.shape == (1, 200, 200) and mask.dtype == torch.uint8 and set(mask.unique().tolist()) == {0, 1}
    # the picture shows the same box; only its bilinear border may differ
    assert (mask[0] != packed['inputs'][0]).float().mean() < 0.02
    assert 'gt_sem_seg' not in packed['data_samples']
    with pytest.raises(ValueError, match='leave nothing of 100x100'):
        PseudoLabelMargins(top=60, bottom=40).transform(dict(img=image[:100, :100]))
    with pytest.raises(ValueError, match='>= 0'):
        PseudoLabelMargins(top=-1)


def test_packed_sample():
    label = random_label()
    packed = PackStreamInputs().transform(sample(label, wanted_class=5, ori_shape=(60, 90), scale_factor=1.0))
    assert packed['inputs'].shape == (3, 60, 90) and packed['inputs'].dtype == torch.uint8
    data_sample = packed['data_samples']
    assert data_sample.gt_sem_seg.data.shape == (1, 60, 90) and data_sample.gt_sem_seg.data.dtype == torch.int64
    assert data_sample.metainfo['wanted_class'] == 5 and data_sample.metainfo['img_path'] == 'p.png'
    assert 'valid_pseudo_mask' not in data_sample
