"""Four processes that start at once on one cache or one weight file."""
import multiprocessing
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.datasets.statistics.class_statistics import class_statistics
from mmseg_dg.datasets.synthcity.cache import city_folder, missing_pictures, write_city
from mmseg_dg.registry import DATASETS, MODELS
from mmseg_dg.weights import files as weights
from mmseg_dg.weights import preparation as weight_conversion

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='needs fork')
COUNT = 4


def at_once(function, *args):
    """Results of ``function(*args)`` in processes that wait for each other before they begin."""
    context = multiprocessing.get_context('fork')
    barrier, results = context.Barrier(COUNT), context.Queue()

    def work():
        try:
            torch.set_num_threads(1)
            barrier.wait(60)
            results.put((True, function(*args)))
        except BaseException as error:
            results.put((False, f'{type(error).__name__}: {error}'))

    processes = [context.Process(target=work) for _ in range(COUNT)]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    assert all(good for good, _ in found), found
    return [value for _, value in found]


def test_city(tmp_path):
    folder = city_folder(tmp_path, 'day', (64, 64), 0)
    wrote = at_once(write_city, folder, 0, 'day', (64, 64), range(3), 1)
    assert sorted(wrote) == [0, 0, 0, 3]
    (folder / 'img' / '000001.jpg').write_bytes(b'')  # a disk that was full
    assert missing_pictures(folder, range(3)) == [1]
    assert sorted(at_once(write_city, folder, 0, 'day', (64, 64), range(3), 1)) == [0, 0, 0, 1]
    assert all(cv2.imread(str(path)) is not None for path in folder.glob('img/*.jpg'))
    assert not [p for p in folder.rglob('.writing*')]


def test_class_statistics(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path))
    dataset = DATASETS.build(dict(
        type='BaseSegDataset', data_root=str(tiny_data / 'source'), img_suffix='.png', seg_map_suffix='.png',
        metainfo=dict(classes=('road', 'building', 'sky', 'car'), palette=[[0] * 3] * 4),
        data_prefix=dict(img_path='img', seg_map_path='label'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]))
    tables = at_once(lambda: np.array(class_statistics(dataset, num_workers=1).pixel_counts))
    assert all(np.array_equal(table, tables[0]) for table in tables) and tables[0].sum() > 0
    files = sorted(p.suffix for p in (tmp_path / 'class_statistics').iterdir())
    assert files == ['.json', '.npy']
    assert np.array_equal(class_statistics(dataset).pixel_counts, tables[0])


@pytest.mark.ci
def test_a_conversion_in_place_never_overwrites_its_original(tmp_path):
    from test_weights.test_known_files import official
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type='MixTransformer', arch='b0', init_cfg=None))
    path = tmp_path / 'mit_b0.pth'
    torch.save(dict(official(encoder.state_dict()), **{'head.weight': torch.zeros(2, 256)}), path)
    original = path.read_bytes()
    answers = at_once(weight_conversion.prepare, 'mit_b0', tmp_path)
    assert sum('kept as' in ' '.join(lines) for lines in answers) == 1
    assert {p.name for p in tmp_path.iterdir()} == {'mit_b0.pth', 'mit_b0_fetched.pth'}
    assert (tmp_path / 'mit_b0_fetched.pth').read_bytes() == original
    assert weights.loaded_share(encoder, path).share == 1
    path.write_bytes(original)  # fetched again: the first one is kept, too
    (tmp_path / 'mit_b0_fetched.pth').write_bytes(b'mine')
    assert 'mit_b0_fetched_2.pth' in ' '.join(weight_conversion.prepare('mit_b0', tmp_path))
    assert (tmp_path / 'mit_b0_fetched.pth').read_bytes() == b'mine'
    assert (tmp_path / 'mit_b0_fetched_2.pth').read_bytes() == original


def test_weights_with_nan_are_refused(tmp_path):
    encoder = MODELS.build(dict(type='MixTransformer', arch='b0', init_cfg=None))
    state = encoder.state_dict()
    state['layers.0.0.projection.bias'] = torch.full_like(state['layers.0.0.projection.bias'], float('nan'))
    path = tmp_path / 'mine.pth'
    torch.save(state, path)
    with pytest.raises(ValueError, match=rf'{path} holds NaN.*layers.0.0.projection.bias: 32 of 32'):
        weights.loaded_share(encoder, path)
    os.rename(path, tmp_path / 'mit_b0.pth')
    with pytest.raises(weight_conversion.Problem, match='holds NaN'):
        weight_conversion.prepare('mit_b0', tmp_path, Path(tmp_path / 'mit_b0.pth'), accept_checksum=True)
