"""Damaged and hostile MATLAB files: named, and never believed."""
import io
import struct
import tracemalloc

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from mmseg_dg.datasets.conversion.gta import read_split
from mmseg_dg.datasets.conversion.mat_files import check_mat, load_mat
from mmseg_dg.datasets.conversion.voc import read_mat

LABEL = (np.arange(30 * 20).reshape(30, 20) % 21).astype(np.uint8)


def sbd(compressed=True):
    """A file as SBD publishes them: a structure of labels, borders (sparse, in cells) and present classes."""
    borders = np.empty((20, 1), object)
    for i in range(20):
        borders[i, 0] = csc_matrix((np.ones(3), ([1, 2, 3], [0, 4, i])), (30, 20))
    labels = dict(Segmentation=LABEL, Boundaries=borders, CategoriesPresent=np.array([[3], [5]], np.uint8))
    content = dict(GTcls=labels, note='text', empty=np.zeros((0, 3)), numbers=np.array([1.5 + 2j]),
                   flag=np.array([True]))
    file = io.BytesIO()
    savemat(file, content, do_compression=compressed)
    return file.getvalue()


def split(**changes):
    file = io.BytesIO()
    savemat(file, dict(dict(trainIds=[[1.], [2.]], valIds=[[3.]], testIds=[[4.], [5.]]), **changes))
    return file.getvalue()


@pytest.mark.parametrize('compressed', [True, False])
def test_whole_files_are_read_as_scipy_reads_them(tmp_path, compressed):
    data = sbd(compressed)
    ours, theirs = load_mat(data, 'x'), loadmat(io.BytesIO(data))
    assert ours.keys() == theirs.keys()
    path = tmp_path / '2008_1.mat'
    path.write_bytes(data)
    assert np.array_equal(read_mat(str(path), 'GTcls', 'Segmentation'), LABEL)


@pytest.mark.parametrize('compressed', [True, False])
def test_damaged_files_are_named(tmp_path, compressed):
    """Flipped bits, cut-off ends, overwritten sizes: a right answer or ValueError with the path, in little memory."""
    good, rng, path = sbd(compressed), np.random.default_rng(0), tmp_path / 'bad.mat'
    refused = 0
    tracemalloc.start()
    for trial in range(100):
        data = bytearray(good)
        if trial % 3 == 0:
            data = data[:rng.integers(len(data))]
        elif trial % 3 == 1:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        else:
            place = rng.integers(len(data) // 4) * 4
            data[place:place + 4] = struct.pack('<I', rng.choice([0, 2**31 - 1, 2**32 - 1, 1 << 24, 7]))
        path.write_bytes(bytes(data))
        try:
            assert read_mat(str(path), 'GTcls', 'Segmentation').dtype == np.int64
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 30 and peak < 50e6, (refused, peak)


def test_a_size_that_lies_asks_for_no_memory():
    file = io.BytesIO()
    savemat(file, dict(a=np.zeros((2, 2))))
    data = file.getvalue().replace(struct.pack('<ii', 2, 2), struct.pack('<ii', 2**30, 2**30))
    with pytest.raises(ValueError, match='4 numbers for a shape of'):
        load_mat(data, 'x.mat')
    file = io.BytesIO()
    savemat(file, dict(a=np.zeros((1, 3), object)))
    data = file.getvalue().replace(struct.pack('<ii', 1, 3), struct.pack('<ii', 2**20, 2**10))
    with pytest.raises(ValueError, match='cells or fields'):
        load_mat(data, 'x.mat')


def test_other_kinds_say_what_they_are():
    with pytest.raises(ValueError, match='7.3'):
        load_mat(b'MATLAB 7.3'.ljust(124) + b'\0\2IM' + b'\0' * 512, 'x.mat')
    for data in (b'', b'<html>' * 100, b'\0' * 500, b'MATLAB 5.0'.ljust(124) + b'\0\1IM'):
        with pytest.raises(ValueError, match='x.mat: not a readable MATLAB file'):
            load_mat(data, 'x.mat')
    check_mat(sbd())


@pytest.mark.parametrize('changes', [
    dict(trainIds=[[np.nan]]), dict(trainIds=[[1.5]]), dict(trainIds=[[-1.]]), dict(valIds=[[1e9]]),
    dict(testIds='text'), dict(testIds=np.zeros((0, 1)))])
def test_split_files_with_impossible_numbers(tmp_path, changes):
    path = tmp_path / 'split.mat'
    path.write_bytes(split())
    assert read_split(str(path))['train'] == ['00001', '00002']
    path.write_bytes(split(**changes))
    with pytest.raises(ValueError, match='split.mat'):
        read_split(str(path))
