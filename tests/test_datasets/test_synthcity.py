"""The synthetic city: what it draws, and how it is kept on disk."""
import hashlib
import multiprocessing
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from mmseg_dg.datasets import SynthCityDataset
from mmseg_dg.datasets.synthcity import DOMAINS, VERSION, cache, render
from mmseg_dg.registry import DATASETS

SMALL = (128, 64)


def digest(*arrays):
    return hashlib.sha256(b''.join(a.tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope='module')
def pictures():
    """8 pictures per domain, small."""
    return {domain: [render(0, k, domain, (256, 128)) for k in range(8)] for domain in DOMAINS if domain != 'mixed'}


@pytest.fixture
def city(tmp_path):
    """Builds a small dataset below a temporary folder."""

    def build(**arguments):
        return DATASETS.build(dict(dict(type='SynthCityDataset', data_root=tmp_path, size=SMALL, num_images=3,
                                        num_workers=1), **arguments))

    return build


def written(dataset):
    """Every file of a dataset's folder with its content."""
    return {path: open(path, 'rb').read() for info in dataset for path in (info['img_path'], info['seg_map_path'])}


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize('domain', DOMAINS)
def test_a_picture_is_a_function_of_its_key(domain):
    first, again = render(3, 5, domain, SMALL), render(3, 5, domain, SMALL)
    assert digest(*first) == digest(*again)
    for key in ((4, 5, domain), (3, 6, domain), (3, 5, 'fog' if domain != 'fog' else 'day')):
        assert digest(first[1]) != digest(render(*key, SMALL)[1])  # another street, not merely other noise


def test_a_picture_does_not_depend_on_the_process_or_its_state():
    folder = os.path.dirname(os.path.dirname(cache.__file__))  # imported without the rest of the package: seconds less
    code = ('import hashlib, cv2, numpy, sys; cv2.setNumThreads(3); numpy.random.seed(8)\n'
            f'sys.path.insert(0, {folder!r}); from synthcity import render\n'
            'print(hashlib.sha256(b"".join(a.tobytes() for a in render(1, 2, "camera", (128, 64)))).hexdigest())')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                          env=dict(os.environ, OMP_NUM_THREADS='3'))
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    assert done.stdout.split()[-1] == digest(*render(1, 2, 'camera', SMALL))
    assert (np.random.get_state()[1] == state).all()


def test_rendering_leaves_the_number_of_opencv_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        expected = cv2.getNumThreads()
        render(0, 0, 'day', SMALL)
        assert cv2.getNumThreads() == expected
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize('size', [(64, 64), (96, 160), (512, 256)])
def test_sizes_and_types(size):
    image, label = render(0, 0, 'day', size)
    assert image.shape == (size[1], size[0], 3) and label.shape == (size[1], size[0])
    assert image.dtype == label.dtype == np.uint8
    assert label.flags['C_CONTIGUOUS']


@pytest.mark.ci
@pytest.mark.parametrize('domain', [domain for domain in DOMAINS if domain != 'mixed'])
def test_labels_are_the_19_classes_and_each_is_common(domain):
    city_pictures = [render(0, k, domain, (256, 128)) for k in range(20)]
    shown = np.zeros(19, int)
    for _, label in city_pictures:
        counts = np.bincount(label.ravel(), minlength=256)
        assert counts[19:255].sum() == 0, f'{domain}: label ids {np.flatnonzero(counts)}'
        assert counts[255] < 0.12 * label.size
        shown += counts[:19] >= 10
    # even the rarest class (trams) is in a quarter of the pictures
    assert (shown >= 2).all(), f'{domain}: pictures per class {shown}'


def test_labels_agree_with_colors(pictures):
    """Where an object ends the color changes too: gradients gather at label edges."""
    for domain in ('day', 'overcast', 'dusk'):
        at_edges, elsewhere = [], []
        for image, label in pictures[domain]:
            edge = np.zeros(label.shape, bool)
            edge[:, 1:] = label[:, 1:] != label[:, :-1]
            step = np.abs(np.diff(image.astype(float).mean(2), axis=1, prepend=0))
            edge[:, 0], step[:, 0] = False, 0
            at_edges.append(step[edge].mean())
            elsewhere.append(step[~edge].mean())
        assert np.mean(at_edges) > 4 * np.mean(elsewhere), domain


def test_roads_are_below_the_sky(pictures):
    for image, label in pictures['day']:
        rows = np.arange(label.shape[0])[:, None] + 0 * label
        assert rows[label == 0].mean() > rows[label == 10].mean() + 20
        blue = image[label == 10].mean(0)
        assert blue[0] > blue[2]  # a blue sky, BGR


def test_domains_look_different(pictures):
    images = {domain: [image for image, _ in pair] for domain, pair in pictures.items()}
    brightness = {domain: np.mean(each) for domain, each in images.items()}
    contrast = {domain: np.mean([image[label == 2].std() for image, label in pictures[domain]])
                for domain in ('fog', 'overcast')}
    assert brightness['night'] < 0.6 * brightness['day']
    assert brightness['dusk'] < 0.85 * brightness['day']
    assert contrast['fog'] < 0.7 * contrast['overcast']  # of buildings


def test_the_camera_differs_from_picture_to_picture_and_not_on_average():
    """Its mean brightness is that of the day: one gain and offset for all pictures would not make up for it."""
    day, camera = (np.array([render(5, k, domain, SMALL)[0].mean((1, 2)) for k in range(12)])  # (12, rows)
                   for domain in ('day', 'camera'))
    assert abs(camera.mean() - day.mean()) < 0.15 * day.mean()
    assert camera.mean(1).std() > 1.3 * day.mean(1).std()


@pytest.mark.parametrize('arguments, message', [
    (dict(domain='snow'), "unknown domain 'snow'.*camera"),
    (dict(size=(100, 64)), 'multiples of 32'),
    (dict(size=(32, 64)), 'at least 64'),
    (dict(size=(64, )), 'multiples of 32'),
    (dict(num_images=0), 'num_images=0'),
    (dict(start=-1), 'start=-1'),
    (dict(seed=-1), 'seed=-1'),
    (dict(num_workers=0), 'num_workers=0'),
])
def test_wrong_arguments(city, arguments, message):
    with pytest.raises(ValueError, match=message):
        city(**arguments)


def test_misspelled_arguments_are_refused(city):
    with pytest.raises(TypeError, match='domian'):
        city(domian='day')


def test_render_refuses_wrong_keys():
    with pytest.raises(ValueError, match='negative'):
        render(0, -1)
    with pytest.raises(ValueError, match='unknown domain'):
        render(0, 0, 'snow')


# ---------------------------------------------------------------- files


def test_dataset_reads_what_was_rendered(city, tmp_path):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
    dataset = city(domain='mixed', seed=2, start=4, pipeline=pipeline)
    assert len(dataset) == 3 and len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 19
    for k, sample in enumerate(dataset):
        image, label = render(2, 4 + k, 'mixed', SMALL)
        assert (sample['gt_seg_map'] == label).all()
        assert np.abs(sample['img'].astype(int) - image).mean() < 6  # JPEG
        assert sample['img_path'] == str(tmp_path / f'v{VERSION}_128x64_seed2' / 'mixed' / 'img' / f'{4 + k:06d}.jpg')


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    dataset = SynthCityDataset(num_images=1, size=SMALL)
    assert dataset[0]['img_path'].startswith(str(tmp_path / 'cache' / 'synthcity'))


def test_lazy_datasets_render_at_first_use(city, tmp_path):
    dataset = city(lazy_init=True)
    assert not any(tmp_path.iterdir())
    dataset.full_init()
    assert all(os.path.isfile(path) for path in written(dataset))


def test_fewer_classes(city):
    dataset = city(metainfo=dict(classes=('car', 'road')), pipeline=[
        dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')])
    assert set(np.unique(dataset[0]['gt_seg_map'])) <= {0, 1, 255}


def test_splits_share_a_folder_but_no_pictures(city):
    train, val = city(num_images=2), city(num_images=2, start=2)
    assert not set(written(train)) & set(written(val))
    assert train.data_root == val.data_root


def test_rendering_continues_where_it_stopped(city, monkeypatch):
    dataset = city(num_images=4)
    before = written(dataset)
    image, label = dataset[1]['img_path'], dataset[2]['seg_map_path']
    kept = {path: os.stat(path).st_mtime_ns for path in before}
    os.remove(image)
    os.remove(label)
    rendered = []
    monkeypatch.setattr(cache, 'render', lambda *key: rendered.append(key[1]) or render(*key))
    assert written(city(num_images=4)) == before
    assert rendered == [1, 2]
    changed = {os.path.basename(path)[:6] for path in before if os.stat(path).st_mtime_ns != kept[path]}
    assert changed == {'000001', '000002'}


def test_no_half_written_file(city, monkeypatch, tmp_path):
    """A full disk while a file is written leaves no file of that name and nothing else."""

    def fail(source, target):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(cache.os, 'replace', fail)
    with pytest.raises(OSError, match='No space left.*data_root'):
        city()
    assert [p for p in tmp_path.rglob('*') if p.is_file() and p.name != '.lock'] == []


def test_pool_renders_the_same_files(city, tmp_path):
    one = written(city(num_images=9))
    many = written(city(num_images=9, num_workers=2, data_root=tmp_path / 'other'))
    assert list(one.values()) == list(many.values())


def _build_and_hash(root, gate, results):
    gate.wait()
    dataset = SynthCityDataset(data_root=root, size=SMALL, num_images=12, num_workers=1)
    results.put([hashlib.sha256(content).hexdigest() for content in written(dataset).values()])


def test_processes_that_start_together_see_whole_files(tmp_path):
    context = multiprocessing.get_context('fork')
    gate, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_build_and_hash, args=(tmp_path, gate, results)) for _ in range(2)]
    for process in processes:
        process.start()
    seen = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert seen[0] == seen[1] and len(seen[0]) == 24
    alone = SynthCityDataset(data_root=tmp_path / 'alone', size=SMALL, num_images=12, num_workers=1)
    assert seen[0] == [hashlib.sha256(content).hexdigest() for content in written(alone).values()]
    assert not list(tmp_path.rglob('.writing-*'))


def _render_forever(root):
    SynthCityDataset(data_root=root, size=SMALL, num_images=100000, num_workers=2)


def test_a_killed_rendering_leaves_whole_files_and_no_lock(tmp_path):
    process = multiprocessing.get_context('fork').Process(target=_render_forever, args=(tmp_path, ))
    process.start()
    deadline = time.time() + 30
    while time.time() < deadline and len(list(tmp_path.rglob('*.jpg'))) < 4:
        time.sleep(0.05)
    process.kill()
    process.join()
    begin = time.time()
    dataset = SynthCityDataset(data_root=tmp_path, size=SMALL, num_images=6, num_workers=1)
    assert time.time() - begin < 10
    for k, info in enumerate(dataset):
        assert cv2.imread(info['img_path']).shape == (64, 128, 3)
        assert (cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED) == render(0, k, 'day', SMALL)[1]).all()
    time.sleep(1.5)  # workers notice that their parent is gone
    count = len(list(tmp_path.rglob('*.jpg')))
    time.sleep(0.3)
    assert len(list(tmp_path.rglob('*.jpg'))) == count


def test_a_folder_that_cannot_be_written(city, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='cannot be written to .*MMSEG_DG_CACHE'):
        city(data_root=tmp_path / 'file')


def test_a_complete_folder_may_be_read_only(city, monkeypatch):
    before = written(city())

    def refuse(*args, **kwargs):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(cache.Path, 'mkdir', refuse)
    monkeypatch.setattr(cache.Path, 'write_bytes', refuse)
    assert written(city()) == before
    with pytest.raises(PermissionError, match='data_root'):
        city(num_images=4)
