"""Damaged validation sets: the same at every reading, stronger by strength, as domains of a config."""
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmseg_dg.datasets import Corrupt, corrupt, corrupted, corrupted_evaluators
from mmseg_dg.datasets.corruptions import KINDS
from mmseg_dg.registry import TRANSFORMS

DATASETS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'


def picture(seed=0, height=128, width=192):
    """Rectangles, a ramp and a little grain: edges, areas and texture."""
    rng = np.random.RandomState(seed)
    image = np.linspace(40, 200, width)[None, :, None].repeat(height, 0).repeat(3, 2)
    image[20:60, 40:100] = (30, 60, 220)
    image[70:120, 10:60] = (240, 240, 60)
    return (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize('kind', KINDS)
def test_equal_input_gives_equal_damage_and_strength_grows(kind):
    image, before = picture(), picture()
    made = [corrupt(image, kind, strength) for strength in (1, 2, 3)]
    assert np.array_equal(image, before)  # the input stays
    assert all(one.dtype == np.uint8 and one.shape == image.shape for one in made)
    np.random.seed(5)  # the global generator has no part in it
    assert np.array_equal(made[1], corrupt(picture(), kind, 2))
    distance = [np.abs(one.astype(float) - image).mean() for one in made]
    assert 1 < distance[0] < distance[1] < distance[2]


@pytest.mark.parametrize('kind', ['noise', 'fog', 'dark'])
def test_seed_and_image_change_the_draws(kind):
    first = corrupt(picture(), kind, 2, seed=0).astype(int)
    assert not np.array_equal(first, corrupt(picture(), kind, 2, seed=1))
    other = corrupt(picture(1), kind, 2).astype(int)  # another grain, the same scene
    assert np.abs(first - other).mean() > 1.5


def test_what_single_kinds_do():
    image = picture()
    assert corrupt(image, 'noise', 2).astype(float).std() > image.std()
    flat = np.full((64, 64, 3), 100, np.uint8)
    assert np.array_equal(corrupt(flat, 'blur', 3), flat) and np.array_equal(corrupt(flat, 'contrast', 3), flat)
    assert abs(corrupt(flat, 'dark', 1).mean() - 50) < 0.5 and abs(corrupt(flat, 'dark', 3).mean() - 12.5) < 0.3
    assert abs(corrupt(flat, 'noise', 1).astype(float).std() - 10) < 0.5
    assert abs(corrupt(flat, 'fog', 2).mean() - (100 * .45 + 225 * .55)) < 3
    low = corrupt(image, 'contrast', 2).astype(float)
    assert low.std((0, 1)) == pytest.approx(0.3 * image.astype(float).std((0, 1)), rel=0.02)
    # the disc grows with the image: the same picture at twice the size is damaged alike
    edge = np.zeros((256, 64, 3), np.uint8)
    edge[:, 32:] = 200
    double = edge.repeat(2, 0).repeat(2, 1)
    small, large = corrupt(edge, 'blur', 3), corrupt(double, 'blur', 3)
    assert np.abs(small.astype(int) - large[::2, ::2]).max() < 30


@pytest.mark.parametrize('arguments, words', [
    (('snow', 1), 'snow'), (('noise', 4), 'strength'), (('noise', 1, -1), 'seed')])
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        corrupt(picture(), *arguments)
    with pytest.raises(ValueError, match=words):
        Corrupt(*arguments)


def test_bad_images_and_domains():
    with pytest.raises(ValueError, match='uint8'):
        corrupt(picture()[..., 0], 'noise', 1)
    with pytest.raises(ValueError, match='"city" has no pipeline'):
        corrupted(dict(city=dict(dataset=dict(pipeline=[dict(type='PackSegInputs')]))))


def test_domains_of_a_config():
    loader = dict(num_workers=2, persistent_workers=True, prefetch_factor=4, dataset=dict(
        type='RepeatDataset', dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])))
    made = corrupted(dict(city=loader, off=None), kinds=['fog'], strengths=[1, 3], seed=7)
    assert list(made) == ['city', 'city_fog1', 'city_fog3']
    steps = made['city_fog3']['dataset']['dataset']['pipeline']
    assert steps[1] == dict(type='Corrupt', kind='fog', strength=3, seed=7) and len(steps) == 3
    assert made['city_fog3']['num_workers'] == 0 and 'prefetch_factor' not in made['city_fog3']
    assert len(loader['dataset']['dataset']['pipeline']) == 2 and made['city'] == loader
    assert len(corrupted(dict(city=loader), keep_clean=False)) == 18
    own = corrupted_evaluators(dict(city=dict(type='A'), city_b=dict(type='B')), ['city', 'city_fog1', 'city_b_fog1'])
    assert [metric['type'] for metric in own.values()] == ['A', 'A', 'B']
    with pytest.raises(ValueError, match='town_fog1'):
        corrupted_evaluators(dict(city=dict(type='A')), ['town_fog1'])


def test_the_transform_leaves_labels_alone():
    step = TRANSFORMS.build(dict(type='Corrupt', kind='jpeg', strength=2))
    label = np.ones((128, 192), np.uint8)
    results = step(dict(img=picture(), gt_seg_map=label))
    assert results['gt_seg_map'] is label and np.array_equal(results['img'], corrupt(picture(), 'jpeg', 2))
    assert 'jpeg' in repr(step)


def test_the_city_damaged_as_a_config():
    cfg = Config.fromfile(DATASETS / 'synthcity_corrupted_val.py')
    assert len(cfg.val_dataloader) == len(cfg.test_dataloader) == 19 and 'night' not in cfg.val_dataloader
    assert cfg.val_dataloader.camera_dark2.dataset.pipeline[1].kind == 'dark'
    assert 'corrupted' not in cfg  # the function does not stay in the config
    Config.fromstring(cfg.pretty_text, '.py')


def test_the_city_with_many_test_images():
    cfg = Config.fromfile(DATASETS / 'synthcity_test200.py')
    parts = [loader.dataset for loader in cfg.test_dataloader.values()]
    assert {part.num_images for part in parts} == {200} and {part.start for part in parts} == {2000}
    assert len({part.domain for part in parts}) == 7
