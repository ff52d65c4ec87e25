"""Samples are a function of their request, for any number of worker processes."""
import itertools
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import BatchSampler, DataLoader, Dataset, Subset

from mmseg_dg.datasets import RareClassSampler, SampleRequest, SeededDataset, StatefulInfiniteSampler
from mmseg_dg.datasets.wrappers import flatten, leaves, locate
from mmseg_dg.registry import DATASETS, TRANSFORMS

from .trees import LOAD, city_tree

PIPELINE = LOAD + [
    dict(type='RareClassCrop', crop_size=(16, 16), min_crop_pixels=3),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackStreamInputs')
]


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    return dict(city_tree(tmp_path / 'city'), pipeline=PIPELINE)


def random_states():
    return random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def content(batch):
    return [(s.metainfo['img_path'], s.metainfo.get('wanted_class'), x.numpy().tobytes(),
             s.gt_sem_seg.data.numpy().tobytes()) for x, s in zip(batch['inputs'], batch['data_samples'])]


@pytest.mark.parametrize('kind', ['StatefulInfiniteSampler', 'RareClassSampler'])
def test_same_samples_for_any_number_of_workers(cfg, kind):
    def batches(workers, position=0, count=6):
        dataset = SeededDataset(cfg)
        sampler = StatefulInfiniteSampler(dataset, seed=9) if kind[0] == 'S' else RareClassSampler(
            dataset, seed=9, min_pixels=20, temperature=1.)
        sampler.set_position(position)
        loader = DataLoader(dataset, batch_sampler=BatchSampler(sampler, 2, True), num_workers=workers,
                            collate_fn=pseudo_collate, generator=torch.Generator().manual_seed(workers))
        return [content(b) for b in itertools.islice(iter(loader), count)]

    before = random_states()
    whole = batches(0)
    assert random_states() == before
    np.random.seed(123)  # whatever the state of the process
    assert batches(2) == whole
    assert batches(2, position=8, count=2) == whole[4:]
    assert batches(0, position=8, count=2) == whole[4:]
    assert len({sample[2] for batch in whole for sample in batch}) == 12
    wanted = {sample[1] for batch in whole for sample in batch}
    assert wanted == {None} if kind[0] == 'S' else len(wanted) > 1


def test_plain_index_and_caller_state(cfg):
    dataset = SeededDataset(cfg)
    assert len(dataset) == 6 and dataset.metainfo['classes'][0] == 'road'
    before = random_states()
    first, second = dataset[SampleRequest(2, 5)], dataset[SampleRequest(2, 5)]
    assert random_states() == before
    torch.testing.assert_close(first['inputs'], second['inputs'], rtol=0, atol=0)
    assert not torch.equal(first['inputs'], dataset[SampleRequest(2, 6)]['inputs'])
    assert dataset[2]['data_samples'].metainfo['img_path'] == first['data_samples'].metainfo['img_path']
    assert random_states() != before  # a plain index seeds nothing


def test_the_state_comes_back_after_an_error(cfg):
    cfg['pipeline'] = [*LOAD, dict(type='RareClassCrop', crop_size=64), dict(type='PackStreamInputs')]
    before = random_states()
    with pytest.raises(ValueError, match=r'_leftImg8bit.png: 24x32 .* smaller than the crop 64x64'):
        SeededDataset(cfg)[SampleRequest(0, 1)]
    assert random_states() == before


@TRANSFORMS.register_module()
class RefuseOddForTest:
    """Gives None for images 1, 3, 5."""

    def __init__(self, all=False):
        self.all = all

    def __call__(self, results):
        return None if self.all or results['sample_idx'] % 2 else results


def test_refused_images_are_replaced_from_the_seed(cfg):
    cfg['pipeline'] = [dict(type='RefuseOddForTest'), *PIPELINE]
    dataset = SeededDataset(cfg)
    paths = {dataset[SampleRequest(1, seed)]['data_samples'].metainfo['img_path'] for seed in range(20)}
    assert len(paths) == 3
    one, two = (dataset[SampleRequest(3, 77)] for _ in range(2))
    assert torch.equal(one['inputs'], two['inputs'])
    cfg.update(pipeline=[dict(type='RefuseOddForTest', all=True)], max_refetch=3)
    with pytest.raises(ValueError, match='returned None for 4 images in a row'):
        SeededDataset(cfg)[SampleRequest(0, 1)]


def test_wrappers_are_seen_through(cfg):
    joined = DATASETS.build(dict(type='ConcatDataset', datasets=[
        cfg, dict(type='RepeatDataset', times=2, dataset=dict(cfg, indices=4))]))
    dataset = SeededDataset(dict(type='ConcatDataset', datasets=[
        cfg, dict(type='RepeatDataset', times=2, dataset=dict(cfg, indices=4))]))
    assert len(dataset) == 14 and len(list(leaves(dataset))) == 2
    parts, which, local = flatten(dataset)
    assert which.tolist() == [0] * 6 + [1] * 8 and local.tolist() == [*range(6), *range(4), *range(4)]
    for i in range(14):
        leaf, index = locate(dataset, i)
        assert leaf is parts[which[i]] and index == local[i]
    for request in (SampleRequest(8, 3, 0), SampleRequest(12, 3, 0)):
        sample = dataset[request]['data_samples'].metainfo
        assert sample['wanted_class'] == 0 and sample['img_path'].endswith('town_000002_000019_leftImg8bit.png')
    subset = SeededDataset(Subset(joined, [13, 0]))
    assert locate(subset, 0)[1] == 3 and flatten(subset)[2].tolist() == [3, 0]


def test_mixed_images_are_seeded_as_a_whole(cfg):
    cfg['pipeline'] = LOAD
    mixed = dict(type='MultiImageMixDataset', dataset=dict(type='ConcatDataset', datasets=[cfg]), pipeline=[
        dict(type='RandomMosaic', prob=1., img_scale=(24, 32)), *PIPELINE[2:]])
    dataset = SeededDataset(mixed)
    one, two, three = (dataset[SampleRequest(1, seed, 4)]['inputs'] for seed in (7, 7, 8))
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_a_dataset_that_is_no_base_dataset_is_used_as_a_whole():
    class Plain(Dataset):
        metainfo = dict(classes=('a', ))

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return dict(value=index + np.random.rand())

    dataset = SeededDataset(Plain())
    assert dataset[SampleRequest(1, 4)] == dataset[SampleRequest(1, 4)] != dataset[SampleRequest(1, 5)]
