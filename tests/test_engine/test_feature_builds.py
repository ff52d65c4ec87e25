"""Encoding the views of a run: full disks, interruptions, unreadable files, and what tells two caches apart."""
import ctypes
import errno
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_dg.datasets import SampleRequest, SeededDataset, bad_samples, view_writer
from mmseg_dg.datasets.bad_samples import BadSampleError, BadSamples
from mmseg_dg.datasets.stored_views import FeatureCacheError, StoredViews
from mmseg_dg.datasets.view_writer import ViewWriter
from mmseg_dg.engine import cached_features, view_encoder
from mmseg_dg.engine.cached_features import CachedFeatures, Stream
from mmseg_dg.engine.feature_recipe import pictures
from mmseg_dg.methods.encoded_views import check_encoded
from mmseg_dg.registry import MODELS

from .test_cached_features import Bench


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))


@pytest.fixture
def said(monkeypatch):
    """What the log says while features are prepared."""
    lines = []
    monkeypatch.setattr(cached_features, 'print_log', lambda text, **kwargs: lines.append(text))
    return lines


def writer(folder, rows=4, recipe=None, images=None, width=2):
    description = dict(images=images or ['x'] * rows, views=1, size=[1, 1], variants=[], levels=1)
    return ViewWriter(folder, recipe or dict(a=1), {'map0': ('float16', (rows, width))}, description)


def rows_of(first, last, width=2):
    return dict(map0=np.arange(first, last, dtype=np.float16)[:, None].repeat(width, 1))


# ---------------------------------------------------------------------- disks
def _fill_a_tiny_disk(folder):
    """In a process of its own, on a disk of 1 MB: exit 0 for an OSError that says so, 77 where none can be mounted."""
    libc, user, group = ctypes.CDLL(None), os.getuid(), os.getgid()
    if not hasattr(libc, 'unshare') or libc.unshare(0x10000000 | 0x20000):  # own users and mounts
        os._exit(77)
    try:
        Path('/proc/self/setgroups').write_text('deny')
        Path('/proc/self/uid_map').write_text(f'0 {user} 1')
        Path('/proc/self/gid_map').write_text(f'0 {group} 1')
    except OSError:
        os._exit(77)
    if libc.mount(b'none', str(folder).encode(), b'tmpfs', 0, b'size=1m'):
        os._exit(77)
    width = 1 << 17  # 0.25 MB per view
    unfinished = writer(folder, rows=8, width=width)
    try:
        for row in range(8):
            unfinished.write(slice(row, row + 1), rows_of(row, row + 1, width))
    except OSError as error:
        os._exit(0 if error.errno == errno.ENOSPC and 0 < unfinished.done < 4 else 1)
    os._exit(2)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_a_disk_that_becomes_full_is_an_error_and_no_signal(tmp_path):
    child = multiprocessing.get_context('fork').Process(target=_fill_a_tiny_disk, args=(tmp_path, ))
    child.start()
    child.join(60)
    if child.exitcode == 77:
        pytest.skip('no disk can be mounted here')
    assert child.exitcode == 0  # -7 is SIGBUS


def test_the_error_names_stream_folder_and_size_and_the_next_start_goes_on(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(view_writer, '_SAVE_EVERY', -1)
    original = ViewWriter._put

    def put(self, name, place, content):
        if name == 'map0' and place >= 8 * len(content) // 2:  # view 8, in batches of 2
            raise OSError(errno.ENOSPC, 'No space left on device')
        original(self, name, place, content)

    monkeypatch.setattr(ViewWriter, '_put', put)
    bench = Bench(tiny_config(method='Supervised'))
    total = view_encoder.ViewEncoder(CachedFeatures(views=2), bench.method, bench.streams, 'source').plan().bytes
    with pytest.raises(OSError, match=rf'"source": .* {total / 1e6:.1f} MB in all, .*f/source: No space left') as e:
        bench.prepare(folder=str(tmp_path / 'f'))
    assert e.value.errno == errno.ENOSPC
    monkeypatch.setattr(ViewWriter, '_put', original)
    starts, group = [], view_encoder.ViewEncoder._group
    monkeypatch.setattr(view_encoder.ViewEncoder, '_group',
                        lambda self, start: (starts.append(start), group(self, start))[1])
    bench.prepare(folder=str(tmp_path / 'f'))
    assert starts == [0, *range(8, 24, 2)]  # the first one is the plan's


def test_room_for_each_stream_but_not_for_all_is_too_little(tiny_config, tmp_path, monkeypatch, said):
    bench = Bench(tiny_config())
    sizes = {name: view_encoder.ViewEncoder(CachedFeatures(views=2), bench.method, bench.streams, name).plan().bytes
             for name in bench.streams}
    total = f'{sum(sizes.values()) / 1e6:.1f} MB'
    monkeypatch.setattr(view_encoder, 'free_bytes', lambda folder: max(sizes.values()))
    with pytest.raises(OSError, match=rf'"source": 12 images .*"target": \d+ images .*, together {total}, but'):
        bench.prepare(folder=str(tmp_path / 'f'))
    assert not list((tmp_path / 'f').rglob('*.npy'))
    settings = CachedFeatures(views=2, folder=str(tmp_path / 'f'))
    arguments = bench.method, bench.streams, bench.cfg.model.network
    assert settings.describe(*arguments)[-1].startswith('ERROR: cached features of stream "source"')
    monkeypatch.setattr(view_encoder, 'free_bytes', lambda folder: sum(sizes.values()))
    assert f': {total} in all' in settings.describe(*arguments)[-1]
    bench.prepare(folder=str(tmp_path / 'f'))
    assert [line for line in said if f': {total} in all' in line] == [said[0]]  # once, before the first stream


# ---------------------------------------------------------------------- interruptions
@pytest.mark.parametrize('moved', [1, 2])
def test_a_build_that_is_ended_while_its_files_are_moved_is_complete(tmp_path, monkeypatch, moved):
    first, write_text = writer(tmp_path), view_writer.write_text
    first.write(slice(0, 4), rows_of(0, 4))

    def ended(path, text):
        if path.name == 'features.json':
            raise KeyboardInterrupt
        write_text(path, text)

    monkeypatch.setattr(view_writer, 'write_text', ended)
    with pytest.raises(KeyboardInterrupt):
        first.finish()
    monkeypatch.setattr(view_writer, 'write_text', write_text)
    if moved == 1:  # of the two files
        (tmp_path / 'checksums.npy').replace(tmp_path / 'building' / 'checksums.npy')
    second = writer(tmp_path)
    assert second.done == 4
    second.finish()
    stored = StoredViews(tmp_path, dict(a=1))
    assert [stored.row('map0', row).tolist() for row in range(4)] == [[row] * 2 for row in range(4)]
    assert not (tmp_path / 'building').exists()
    assert stored.left_out() == []  # as of an earlier version, which did not note what a view shows


def test_another_recipe_does_not_delete_an_interrupted_build(tmp_path):
    first = writer(tmp_path)
    first.write(slice(0, 3), rows_of(0, 3))
    first.save()
    with pytest.raises(FeatureCacheError, match='an interrupted build .*: a is 1 there and 2 in this run'):
        writer(tmp_path, recipe=dict(a=2))
    assert writer(tmp_path).done == 3
    assert writer(tmp_path, images=['moved/x'] * 4).done == 3  # where images lie is no content
    shutil.rmtree(tmp_path / 'building')
    assert writer(tmp_path, recipe=dict(a=2)).done == 0


def test_another_recipe_of_a_later_stream_is_found_before_the_first_is_encoded(tiny_config, tmp_path):
    Bench(tiny_config()).prepare(folder=str(tmp_path / 'f'))
    shutil.rmtree(tmp_path / 'f' / 'source')
    with pytest.raises(FeatureCacheError, match='f/target holds cached features of another'):
        Bench(tiny_config(), seed=1).prepare(folder=str(tmp_path / 'f'))
    assert not list((tmp_path / 'f' / 'source').rglob('*.npy'))


# ---------------------------------------------------------------------- files that cannot be read
def unreadable(monkeypatch, index, times):
    """The image ``index`` cannot be read the first ``times`` times."""
    original, tries = SeededDataset._sample, []

    def sample(self, request):
        if request.index == index:
            tries.append(request)
            if len(tries) <= times:
                raise BadSampleError('gone', f'{index:02}.png', 'the file is gone')
        return original(self, request)

    monkeypatch.setattr(bad_samples, 'PAUSES', (0., 0.))
    monkeypatch.setattr(SeededDataset, '_sample', sample)


def skipping(cfg, work_dir, action='skip'):
    bench = Bench(cfg)
    bench.streams['source'].dataset.bad_samples = BadSamples(action, 'source', str(work_dir))
    return bench


def test_a_file_that_could_not_be_read_for_a_moment_is_encoded_after_all(tiny_config, tmp_path, monkeypatch):
    Bench(tiny_config(method='Supervised')).prepare(folder=str(tmp_path / 'whole'))
    unreadable(monkeypatch, 3, 6)  # both views, each tried three times
    bench = skipping(tiny_config(method='Supervised'), tmp_path / 'run')
    bench.prepare(folder=str(tmp_path / 'f'))
    assert len((tmp_path / 'run' / 'bad_samples.csv').read_text().splitlines()) == 2
    stored = bench.streams['source'].dataset.stored
    assert stored.left_out() == []
    for path in (tmp_path / 'whole' / 'source').glob('*.npy'):
        assert (tmp_path / 'f' / 'source' / path.name).read_bytes() == path.read_bytes(), path.name


def test_an_image_that_is_left_out_is_listed_in_every_run(tiny_config, tmp_path, monkeypatch, said):
    unreadable(monkeypatch, 3, 10**6)
    skipping(tiny_config(method='Supervised'), tmp_path / 'first').prepare(folder=str(tmp_path / 'f'))
    bench = skipping(tiny_config(method='Supervised'), tmp_path / 'second')
    del said[:]
    bench.prepare(folder=str(tmp_path / 'f'))
    settings = CachedFeatures(views=2, folder=str(tmp_path / 'f'))
    line, = settings.describe(bench.method, bench.streams, bench.cfg.model.network)
    assert line.endswith(', 1 images that could not be read are left out')
    assert '1 of 12 images could not be read' in said[-1] and '03.png' in said[-1] and 'delete the folder' in said[-1]
    dataset = bench.streams['source'].dataset
    meta = dataset[SampleRequest(3, 7)]['data_samples'].metainfo
    assert meta['img_path'].endswith(f'{meta["cached_image"]:02}.png') and meta['cached_image'] != 3
    assert dataset[SampleRequest(4, 7)]['data_samples'].metainfo['cached_image'] == 4
    line, = (tmp_path / 'second' / 'bad_samples.csv').read_text().splitlines()
    assert line.split(',')[1].endswith('03.png') and line.split(',')[3] == meta['img_path']
    with pytest.raises(FeatureCacheError, match=r"1 of 12 images could not be read .*03.png.*on_bad_sample='skip'"):
        skipping(tiny_config(method='Supervised'), tmp_path / 'third', 'stop').prepare(folder=str(tmp_path / 'f'))


# ---------------------------------------------------------------------- what tells two caches apart
class Plain(torch.utils.data.Dataset):
    """As torch's datasets: it does not say where its samples are."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index


class Remote(Plain):
    """Names files of an object store."""

    def __init__(self, root):
        self.root, self.backend_args = root, dict(backend='petrel')

    def get_data_info(self, index):
        return dict(img_path=f'{self.root}/{index}.png')


@pytest.mark.parametrize('make', [lambda root: Plain(), Remote])
def test_two_folders_whose_files_cannot_be_looked_at_are_two_recipes(make):

    class Wrapper(SeededDataset):

        def __init__(self, dataset):
            self.dataset = dataset

    def recipe(root, ann_file=''):
        config = dict(type='D', data_root=root, ann_file=ann_file, num_workers=int(root[-1]))
        return pictures(Stream(Wrapper(make(root)), 2, dict(dataset=config)))

    assert recipe('s3://bucket/1') == recipe('s3://bucket/1')
    assert recipe('s3://bucket/1') != recipe('s3://bucket/2')
    assert recipe('s3://bucket/1') != recipe('s3://bucket/1', 'few.txt')
    assert 'num_workers' not in recipe('s3://bucket/1')['pipeline']


def test_a_moved_folder_of_local_files_is_the_same_recipe(tiny_config, tmp_path):
    cfg = tiny_config(method='Supervised')
    before = pictures(Bench(cfg).streams['source'])
    shutil.copytree(cfg.train_dataloader.source.dataset.data_root, tmp_path / 'moved')  # keeps times of change
    cfg.train_dataloader.source.dataset.data_root = str(tmp_path / 'moved')
    assert pictures(Bench(cfg).streams['source']) == before


@pytest.mark.parametrize('views', [2.5, True, '8', 0])
def test_views_are_a_whole_number(views):
    with pytest.raises(ValueError, match=f'cached_features.views={views!r}: give a whole number'):
        CachedFeatures(views=views)


@pytest.mark.parametrize('where', ['all', 'target'])
def test_augmentations_of_batches_are_refused(tiny_config, where):
    cfg = tiny_config()
    cfg.model.network.backbone.trainable = 'none'
    option = dict(batch_augments=[dict(type='Mixup')])
    cfg.model.data_preprocessor.update(option if where == 'all' else dict(streams=dict(target=option)))
    with pytest.raises(ValueError, match='data_preprocessor.batch_augments=.*Mixup.*: set it to None'):
        check_encoded(MODELS.build(cfg.model), 'maps')
