"""Samplers: which sample comes next is a function of (seed, draw number)."""
import itertools
import json
import pickle

import numpy as np
import pytest
from mmengine.registry import DATA_SAMPLERS as ROOT_SAMPLERS

from mmseg_dg.datasets import ClassStatistics, RareClassSampler, SampleRequest, StatefulInfiniteSampler
from mmseg_dg.datasets.samplers.rare_class import images_with_class


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def statistics_of(counts):
    counts = np.asarray(counts)
    names = tuple('abcdefghijklmnopqrs'[:counts.shape[1]])
    return ClassStatistics(counts, counts.sum(0).astype(np.int64), 'test', names)


@pytest.fixture
def counts():
    """200 images, 5 classes; class 4 is in 3 images, class 0 everywhere."""
    generator = np.random.default_rng(0)
    table = np.stack([generator.integers(5000, 90000, 200), generator.integers(0, 30000, 200),
                      generator.integers(0, 9000, 200), generator.integers(0, 4000, 200), np.zeros(200, int)], 1)
    table[[7, 70, 170], 4] = 5000
    return table


def test_each_pass_is_a_permutation_and_passes_differ():
    requests = take(StatefulInfiniteSampler(range(17), seed=3), 51)
    passes = [[r.index for r in requests[k:k + 17]] for k in (0, 17, 34)]
    assert all(sorted(order) == list(range(17)) for order in passes)
    assert passes[0] != passes[1] != passes[2]
    assert len({r.seed for r in requests}) == 51
    assert [r.index for r in take(StatefulInfiniteSampler(range(4), seed=3, shuffle=False), 6)] == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize('kind', ['shuffle', 'rare'])
def test_position_jumps_and_seed_decides(kind, counts):
    def make(seed):
        if kind == 'shuffle':
            return StatefulInfiniteSampler(range(200), seed=seed)
        return RareClassSampler(range(200), seed=seed, class_statistics=statistics_of(counts))

    sampler = make(5)
    whole = take(sampler, 450)
    assert take(sampler, 450) == whole  # iterating moves nothing
    for position in (0, 1, 199, 200, 431):
        fresh = make(5)
        fresh.set_position(position)
        assert take(fresh, 5) == whole[position:position + 5]
    other = make(6)
    assert take(other, 20) != whole[:20]
    other.seed = 5
    assert take(other, 20) == whole[:20]
    with pytest.raises(ValueError, match='>= 0, got -1'):
        sampler.set_position(-1)


@pytest.mark.parametrize('kind', ['shuffle', 'rare'])
def test_ranks_share_one_sequence(kind, counts, monkeypatch):
    def make():
        if kind == 'shuffle':
            return StatefulInfiniteSampler(range(200), seed=5)
        return RareClassSampler(range(200), seed=5, class_statistics=statistics_of(counts))

    whole = take(make(), 30)
    for rank in range(3):
        monkeypatch.setattr('mmseg_dg.datasets.samplers.infinite.get_dist_info', lambda rank=rank: (rank, 3))
        sampler = make()
        assert take(sampler, 10) == whole[rank::3]
        sampler.set_position(4)
        assert take(sampler, 6) == whole[rank::3][4:]
        assert len(sampler) == 67


def test_built_by_name_with_a_synchronized_seed():
    sampler = ROOT_SAMPLERS.build(dict(type='StatefulInfiniteSampler'), default_args=dict(dataset=range(5), seed=None))
    assert isinstance(sampler, StatefulInfiniteSampler) and isinstance(sampler.seed, int)
    assert pickle.loads(pickle.dumps(SampleRequest(1, 2, 3))) == SampleRequest(1, 2, 3)
    with pytest.raises(ValueError, match='no samples'):
        StatefulInfiniteSampler([], seed=0)


def drawn_for(sampler, class_index):
    """Images drawn for a class, ascending; none for a class that is never drawn."""
    place = np.flatnonzero(sampler.classes == class_index)
    return sampler._images[place[0]] if len(place) else np.zeros(0, np.int32)


def test_class_frequencies_over_10000_draws(counts):
    sampler = RareClassSampler(range(200), seed=1, temperature=0.3, class_statistics=statistics_of(counts))
    requests = take(sampler, 10000)
    drawn = np.array([r.wanted_class for r in requests])
    observed = np.array([(drawn == c).sum() for c in sampler.classes])
    expected = sampler.probabilities * 10000
    assert expected.min() > 50
    assert ((observed - expected)**2 / expected).sum() < 18.5  # chi-square, 4 degrees of freedom, p = 0.001
    for r in requests:
        assert counts[r.index, r.wanted_class] > 3000
    # images are uniform within a class
    for c in (0, 4):
        images = [r.index for r in requests if r.wanted_class == c]
        uniform = np.bincount(images, minlength=200)[drawn_for(sampler, c)]
        mean, freedom = uniform.mean(), len(uniform) - 1
        assert ((uniform - mean)**2 / mean).sum() < freedom + 3.3 * np.sqrt(2 * freedom) + 8


@pytest.mark.claim('DAFormer')
def test_recorded_probabilities_and_file_lists(recorded, tmp_path):
    record = recorded('rcs')
    files = sorted(entry['file'] for entry in json.loads(record['stats']))
    stats, with_class = tmp_path / 'sample_class_stats.json', tmp_path / 'samples_with_class.json'
    stats.write_text(record['stats'])
    with_class.write_text(record['samples_with_class'])
    dataset = FakeDataset(files)
    for temperature, expected in record['probs'].items():
        sampler = RareClassSampler(dataset, seed=0, temperature=temperature, min_pixels=0, class_statistics=str(stats))
        assert sampler.classes.tolist() == expected['classes']
        np.testing.assert_allclose(sampler.probabilities, np.asarray(expected['p']), rtol=2e-6)
    # the recording raised five counts of rare classes in this second file to 5000, so that each class has a file
    sampler = RareClassSampler(dataset, seed=0, class_statistics=str(with_class))
    for class_index, names in record['samples_with_class_filtered'].items():
        assert [files[i].split('/')[-1] for i in drawn_for(sampler, class_index)] == sorted(names)


def test_class_without_a_good_image_is_left_out_with_a_warning(counts, monkeypatch):
    counts[[7, 70, 170], 4] = 3000  # exactly min_pixels is not enough
    said = []
    monkeypatch.setattr('mmseg_dg.datasets.samplers.rare_class.print_log', lambda text, **_: said.append(text))
    sampler = RareClassSampler(range(200), seed=0, temperature=0.1, class_statistics=statistics_of(counts))
    assert len(said) == 1 and 'more than 3000 pixels of e;' in said[0]
    assert 4 not in sampler.classes and np.isclose(sampler.probabilities.sum(), 1)
    full = RareClassSampler(range(200), seed=0, temperature=0.1, min_pixels=0, class_statistics=statistics_of(counts))
    kept = np.isin(full.classes, sampler.classes)
    np.testing.assert_allclose(sampler.probabilities, full.probabilities[kept] / full.probabilities[kept].sum())
    assert {r.wanted_class for r in take(sampler, 200)} <= set(sampler.classes.tolist())


def test_bad_arguments(counts):
    with pytest.raises(ValueError, match='min_pixels=100000'):
        RareClassSampler(range(200), seed=0, min_pixels=100000, class_statistics=statistics_of(counts))
    with pytest.raises(ValueError, match='200 rows, the dataset has 100'):
        RareClassSampler(range(100), seed=0, class_statistics=statistics_of(counts))
    with pytest.raises(ValueError, match='temperature must be > 0, got 0'):
        RareClassSampler(range(200), seed=0, temperature=0, class_statistics=statistics_of(counts))
    with pytest.raises(TypeError, match='got list'):
        RareClassSampler(range(200), seed=0, class_statistics=[1])


def test_memory_at_the_size_of_gta(tmp_path):
    generator = np.random.default_rng(0)
    table = generator.integers(0, 6000, (25000, 19)).astype(np.int32)  # half of all (image, class) pairs count
    sampler = RareClassSampler(range(25000), seed=0, class_statistics=statistics_of(table))
    held = sum(images.nbytes for images in sampler._images)
    state = {k: v for k, v in sampler.__dict__.items() if k != '_images'}
    assert held + len(pickle.dumps(state)) < 5e6
    assert len(images_with_class(table, np.arange(19), 5999)[0]) == 0


class FakeDataset:
    """Enough of a dataset for the importer of the official statistics."""
    metainfo = dict(classes=tuple(f'class {i}' for i in range(19)))

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def get_data_info(self, index):
        return dict(seg_map_path=self.files[index])
