"""Class-uniform sampling: centroids, their cache, the sampler, and the crop that holds the point."""
import itertools

import numpy as np
import pytest

from mmseg_dg.datasets import ClassUniformSampler, SampleRequest, SeededDataset
from mmseg_dg.datasets.statistics.class_centroids import class_centroids, tile_centroids
from mmseg_dg.registry import TRANSFORMS

CLASSES = ('road', 'building', 'sky', 'car')


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def table_of(size=40, classes=4):
    """Class c occurs in every (c + 1)-th image, twice in image 0."""
    rows = [(0, c, 5, 60) for c in range(classes)]
    rows += [(i, c, 10 + c, i) for i in range(size) for c in range(classes) if i % (c + 1) == 0]
    return np.array(sorted(rows), np.int32)


def dataset_config(root, crop=(32, 32), scale=(1.0, 1.0)):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=scale), dict(type='CentroidCrop', crop_size=crop),
                dict(type='RandomFlip', prob=0.5), dict(type='PackStreamInputs')]
    return dict(type='BaseSegDataset', data_root=str(root), img_suffix='.png', seg_map_suffix='.png',
                data_prefix=dict(img_path='img', seg_map_path='label'), pipeline=pipeline,
                metainfo=dict(classes=CLASSES, palette=[[i, i, i] for i in range(4)]))


def test_centroids_of_a_label():
    label = np.full((6, 10), 255, np.uint8)
    label[:2, :2] = 1  # upper left tile
    label[5, 9] = 1  # the narrow tile at the lower right
    label[0, 5:8] = 0  # upper middle tile
    found = tile_centroids(label, 3, tile=4)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 6], [1, 5, 9]])


def test_complete_tiles_only():
    """GTA's 1914x1052: one tile of 1024 pixels as released, four with those the border cuts off."""
    label = np.zeros((1052, 1914), np.uint8)
    assert tile_centroids(label, 1, 1024, 'complete').tolist() == [[0, 511, 511]]
    assert len(tile_centroids(label, 1, 1024)) == 4
    exact = np.zeros((1024, 2048), np.uint8)  # Cityscapes
    np.testing.assert_array_equal(tile_centroids(exact, 1, 1024, 'complete'), tile_centroids(exact, 1, 1024))
    assert tile_centroids(label[:1023], 1, 1024, 'complete').shape == (0, 3)


def test_kinds_of_tiles_have_caches_of_their_own(tiny_data, tmp_path):
    from mmseg_dg.registry import DATASETS
    dataset = DATASETS.build(dataset_config(tiny_data / 'source'))  # labels of 80x96
    options = dict(tile=64, cache_dir=str(tmp_path), num_workers=1)
    everything, complete = (class_centroids(dataset, tiles=tiles, **options) for tiles in ('all', 'complete'))
    assert len(complete) < len(everything) and len(set(complete[:, 0])) == len(dataset)
    assert len(list(tmp_path.iterdir())) == 4
    sampler = ClassUniformSampler(dataset, seed=0, tile=64, tiles='complete', centroids=dict(cache_dir=str(tmp_path)))
    np.testing.assert_array_equal(sampler.table, complete)
    with pytest.raises(ValueError, match="tile=512 with tiles='complete' finds no class .*lower tile, or tiles='all'"):
        ClassUniformSampler(dataset, seed=0, tile=512, tiles='complete', centroids=dict(cache_dir=str(tmp_path)))
    with pytest.raises(ValueError, match="'all' or 'complete', got 'whole'"):
        class_centroids(dataset, tiles='whole', **options)


def test_centroids_are_cached_and_follow_the_files(tiny_data, tmp_path):
    from mmseg_dg.registry import DATASETS
    dataset = DATASETS.build(dataset_config(tiny_data / 'source'))
    first = class_centroids(dataset, tile=32, cache_dir=str(tmp_path), num_workers=1)
    assert first.shape[1] == 4 and set(first[:, 1]) == {0, 1, 2, 3} and first[:, 0].max() == 11
    files = sorted(p.name for p in tmp_path.iterdir())
    assert len(files) == 2 and all('_centroids32' in name for name in files)
    again = class_centroids(dataset, tile=32, cache_dir=str(tmp_path))
    assert isinstance(again, np.ndarray) and np.array_equal(again, first)
    other = class_centroids(dataset, tile=40, cache_dir=str(tmp_path))
    assert not np.array_equal(other, first) and len(list(tmp_path.iterdir())) == 4
    joined = class_centroids(DATASETS.build(dict(type='RepeatDataset', dataset=dataset_config(tiny_data / 'source'),
                                                 times=2)), tile=32, cache_dir=str(tmp_path))
    assert len(joined) == 2 * len(first) and joined[:, 0].max() == 23
    np.testing.assert_array_equal(joined[len(first):, 1:], first[:, 1:])


def test_half_of_an_epoch_is_even_over_classes():
    sampler = ClassUniformSampler(range(40), seed=3, centroids=table_of())
    for epoch in range(3):
        requests = take(sampler, 40 * (epoch + 1))[40 * epoch:]
        wanted = [r for r in requests if r.wanted_class is not None]
        assert np.bincount([r.wanted_class for r in wanted]).tolist() == [5, 5, 5, 5]
        plain = [r.index for r in requests if r.wanted_class is None]
        assert len(plain) == 20 == len(set(plain)), 'the others are different images'
        assert all(r.wanted_point is None for r in requests if r.wanted_class is None)
        table = {tuple(row) for row in table_of().tolist()}
        assert all((r.index, r.wanted_class, *r.wanted_point) in table for r in wanted)
    assert len({r.seed for r in take(sampler, 120)}) == 120
    assert [r.index for r in take(sampler, 40)] != [r.index for r in take(sampler, 80)[40:]], 'drawn anew'


def test_rare_classes_are_repeated_evenly():
    table = np.array([[i, 0, 0, 0] for i in range(38)] + [[38, 1, 1, 1], [39, 1, 2, 2]], np.int32)
    sampler = ClassUniformSampler(range(40), seed=0, centroids=table)
    rare = [r.index for r in take(sampler, 40) if r.wanted_class == 1]
    assert sorted(rare) == [38] * 5 + [39] * 5


@pytest.mark.parametrize('fraction, count', [(0.0, 0), (1.0, 40)])
def test_extreme_fractions(fraction, count):
    sampler = ClassUniformSampler(range(40), seed=0, fraction=fraction, centroids=table_of())
    assert sum(r.wanted_class is not None for r in take(sampler, 40)) == count


def test_draws_are_a_function_of_seed_and_number(monkeypatch):
    def make(seed=5):
        return ClassUniformSampler(range(40), seed=seed, centroids=table_of())

    whole = take(make(), 130)
    sampler = make()
    for position in (100, 0, 39, 40, 77):  # backwards too
        sampler.set_position(position)
        assert take(sampler, 3) == whole[position:position + 3]
    assert take(make(6), 20) != whole[:20]
    monkeypatch.setattr('mmseg_dg.datasets.samplers.infinite.get_dist_info', lambda: (1, 2))
    assert take(make(), 10) == whole[1:21:2], 'ranks share one sequence'


@pytest.mark.parametrize('kwargs, text', [
    (dict(fraction=1.5), 'fraction'), (dict(centroids=np.zeros((0, 4), np.int32)), 'at least one row'),
    (dict(centroids=np.array([[40, 0, 0, 0]])), 'image 40.*40 samples')])
def test_bad_arguments(kwargs, text):
    with pytest.raises(ValueError, match=text):
        ClassUniformSampler(range(40), **dict(dict(seed=0, centroids=table_of()), **kwargs))


def test_missing_class_is_named(caplog):
    class Named(list):
        metainfo = dict(classes=(*CLASSES, 'train'))

    from mmengine.logging import MMLogger
    messages = []
    logger = MMLogger.get_current_instance()
    original, logger.log = logger.log, lambda level, text, *args: messages.append(text)
    try:
        sampler = ClassUniformSampler(Named(range(40)), seed=0, centroids=table_of())
    finally:
        logger.log = original
    assert any('no label has train' in text for text in messages)
    assert sampler.per_class == 5


def test_crop_holds_the_point_uniformly():
    crop = TRANSFORMS.build(dict(type='CentroidCrop', crop_size=(4, 4)))
    np.random.seed(0)
    starts = [crop.choose_box((10, 12), (5, 11)) for _ in range(400)]
    assert {box.y1 for box in starts} == {2, 3, 4, 5} and {box.x1 for box in starts} == {8}
    counts = np.bincount([box.y1 for box in starts])[2:]
    assert ((counts - 100)**2 / 100).sum() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001
    free = [crop.choose_box((10, 12)) for _ in range(400)]
    assert {box.y1 for box in free} == set(range(7)) and {box.x1 for box in free} == set(range(9))


def test_clamped_crops_are_those_of_the_released_code():
    """start = randint(c - t, c), both included, moved into [0, size - t]: borders collect what lies beyond."""
    crop = TRANSFORMS.build(dict(type='CentroidCrop', crop_size=(4, 4), place='clamped'))
    np.random.seed(0)
    boxes = [crop.choose_box((12, 12), (1, 6)) for _ in range(1000)]
    rows, columns = (np.bincount([getattr(box, side) for box in boxes], minlength=9) for side in ('y1', 'x1'))
    expected = np.array([800, 200, 0, 0, 0, 0, 0, 0, 0])  # -3, -2, -1, 0 and 1
    assert (rows[2:] == 0).all() and ((rows - expected)[:2]**2 / expected[:2]).sum() < 10.8  # 1 degree of freedom
    assert (columns[[0, 1, 7, 8]] == 0).all()
    assert ((columns[2:7] - 200)**2 / 200).sum() < 18.5  # 4 degrees of freedom, p = 0.001
    assert {crop.choose_box((12, 12), (11, 11)).y1 for _ in range(50)} == {7, 8}
    assert {crop.choose_box((3, 12), (1, 6)).y1 for _ in range(50)} == {0}, 'filled rows'
    assert {crop.choose_box((7, 12)).y1 for _ in range(100)} == {0, 1, 2, 3}, 'uniform where no point is wanted'
    with pytest.raises(ValueError, match="'uniform' or 'clamped', got 'center'"):
        TRANSFORMS.build(dict(type='CentroidCrop', crop_size=4, place='center'))


@pytest.mark.parametrize('shape', [(3, 9), (9, 3), (2, 2), (8, 8)])
def test_small_images_are_filled(shape):
    crop = TRANSFORMS.build(dict(type='CentroidCrop', crop_size=6))
    np.random.seed(1)
    label = np.ones(shape, np.uint8)
    results = crop(dict(img=np.full((*shape, 3), 7, np.uint8), gt_seg_map=label, seg_fields=['gt_seg_map'],
                        wanted_point=(shape[0] - 1, 0)))
    assert results['img'].shape == (6, 6, 3) and results['gt_seg_map'].shape == (6, 6) == results['img_shape']
    inside = results['gt_seg_map'] == 1
    assert np.array_equal(inside, results['img'][..., 0] == 7) and (results['gt_seg_map'][~inside] == 255).all()
    assert inside.sum() == min(6, shape[0]) * min(6, shape[1])


@pytest.mark.parametrize('scale', [(1.0, 1.0), (0.5, 0.5), (2.0, 2.0), (0.5, 2.0)])
def test_the_wanted_class_is_in_the_crop(tiny_data, tmp_path, scale):
    """Through dataset, rescaling, crop and flip; a class's centroid need not be one of its pixels, so a tile is used
    in which the classes are solid."""
    dataset = SeededDataset(dataset_config(tiny_data / 'source', (24, 24), scale))
    sampler = ClassUniformSampler(dataset, seed=1, fraction=1.0, tile=16,
                                  centroids=dict(cache_dir=str(tmp_path), num_workers=1))
    shown = []
    for request in take(sampler, 40):
        sample = dataset[request]
        assert sample['inputs'].shape == (3, 24, 24)
        shown.append(bool((sample['data_samples'].gt_sem_seg.data == request.wanted_class).any()))
    assert np.mean(shown) > 0.9


def test_point_after_a_flip_is_refused():
    crop = TRANSFORMS.build(dict(type='CentroidCrop', crop_size=4))
    with pytest.raises(ValueError, match='RandomFlip\\s+after'):
        crop(dict(img=np.zeros((8, 8, 3), np.uint8), flip=True, wanted_point=(0, 0)))


def test_request_stays_compatible():
    assert SampleRequest(1, 2) == (1, 2, None, None)
