"""Caches of counts that are damaged are counted again; statistics files of users that are damaged are named."""

import numpy as np
import pytest

from mmseg_dg.datasets.statistics.cache import CacheEntry
from mmseg_dg.datasets.statistics.class_statistics import from_official_json

GOOD = np.array([[5, 0], [3, 4]], np.int32)


@pytest.fixture
def entry(tmp_path):
    base = str(tmp_path / 'statistics')
    entry = CacheEntry((base, ), base, 'same', (2, 2), 'a test')
    entry.write(GOOD)
    assert np.array_equal(entry.read(), GOOD)
    return entry


@pytest.mark.parametrize('counts', [
    np.array([[5., np.nan], [3, 4]]), np.array([[5, -1], [3, 4]]), np.array([[np.inf, 1.], [3, 4]]),
    np.array([['a', 'b'], ['c', 'd']]), np.array([[True, False], [True, True]]), np.zeros((2, 3), np.int32),
    np.array([[{}, 1], [2, 3]], object), np.zeros((2, 2), [('a', 'i4')])])
def test_impossible_counts_are_counted_again(entry, counts):
    np.save(f'{entry.writes}.npy', counts, allow_pickle=True)
    assert np.array_equal(entry.read_or_make(lambda: GOOD), GOOD)
    assert entry.read() is None


@pytest.mark.parametrize('content', [b'', b'\x93NUMPY', b'\x93NUMPY\x01\x00\xff\xff{', b'PK\x03\x04' * 9, b'x' * 300])
def test_damaged_counts_are_counted_again(entry, content):
    with open(f'{entry.writes}.npy', 'wb') as file:
        file.write(content)
    assert entry.read() is None


@pytest.mark.parametrize('content', [b'', b'[1, 2]', b'null', b'{"fingerprint"', b'\xff\xfe', b'[' * 200000,
                                     b'{"a":' * 100000, b'{"fingerprint": ' + b'9' * 10000 + b'}'])
def test_damaged_descriptions_are_counted_again(entry, content):
    with open(f'{entry.writes}.json', 'wb') as file:
        file.write(content)
    assert entry.read() is None


@pytest.mark.parametrize('content', [b'', b'[' * 200000, b'\xff\xfe', b'{"a.png": {"0": -5}}', b'7', b'[{"file": 3}]',
                                     b'{"a.png": {"0": 1e999}}'])
def test_statistics_files_of_users_are_named(tmp_path, content):
    path = tmp_path / 'stats.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='stats.json'):
        from_official_json(str(path), None)
