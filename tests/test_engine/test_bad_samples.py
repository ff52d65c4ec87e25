"""Files that go bad while a run is on, images with NaN and labels without a class."""
import csv
import importlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.datasets import SampleRequest, SeededDataset, bad_samples
from mmseg_dg.datasets.bad_samples import BadSampleError
from mmseg_dg.datasets.statistics.class_statistics import class_statistics

STATISTICS = importlib.import_module('mmseg_dg.datasets.statistics.class_statistics')  # the package shows the function
CLASSES = ('road', 'building', 'sky', 'car')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(bad_samples, 'PAUSES', (0., 0.))


@pytest.fixture
def data(tiny_data, tmp_path):
    """A copy of the little source domain that may be damaged."""
    return Path(shutil.copytree(tiny_data / 'source', tmp_path / 'data'))


def dataset(root, action='stop', suffix='.png', **kwargs):
    return SeededDataset(dict(
        type='BaseSegDataset', data_root=str(root), metainfo=dict(classes=CLASSES, palette=[[0] * 3] * 4),
        data_prefix=dict(img_path='img', seg_map_path='label'), img_suffix=suffix, seg_map_suffix='.png',
        pipeline=[*LOAD, dict(type='PackStreamInputs')]), on_bad_sample=action, name='source', **kwargs)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[:len(content) * 2 // 3])


DAMAGES = dict(gone=Path.unlink, empty=lambda p: p.write_bytes(b''), cut=cut,
               text=lambda p: p.write_text('<html>not found</html>' * 20))


@pytest.mark.parametrize('folder', ['img', 'label'])
@pytest.mark.parametrize('damage', sorted(DAMAGES))
@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_damaged_files_are_named(data, damage, folder, suffix):
    if suffix == '.jpg':
        for path in (data / 'img').glob('*.png'):
            cv2.imwrite(str(path.with_suffix('.jpg')), cv2.imread(str(path)))
    whole = dataset(data, suffix=suffix)
    path = data / folder / ('03' + (suffix if folder == 'img' else '.png'))
    DAMAGES[damage](path)
    words = dict(gone='is gone', empty='is empty', cut='cut off or damaged', text='cut off|no readable')[damage]
    with pytest.raises(BadSampleError, match=rf"{path}: .*({words}).*on_bad_sample='skip'"):
        whole[SampleRequest(3, 1)]
    assert whole[SampleRequest(4, 1)]['inputs'].shape[0] == 3


def test_a_replacement_is_a_function_of_the_request(data, tmp_path):
    for stem in ('03', '05'):
        cut(data / 'img' / f'{stem}.png')
    first, second = (dataset(data, 'skip', work_dir=str(tmp_path / name)) for name in ('a', 'b'))
    requests = [SampleRequest(i, 100 + i) for i in (3, 1, 5, 3)]
    samples = [first[r]['data_samples'].img_path for r in requests]
    assert [second[r]['data_samples'].img_path for r in reversed(requests)] == samples[::-1]
    assert samples[1].endswith('01.png') and not {Path(s).stem for s in samples} & {'03', '05'}
    rows = list(csv.reader(open(tmp_path / 'a' / 'bad_samples.csv', newline='')))
    assert [(row[0], Path(row[1]).stem, row[-1]) for row in rows] == [
        ('source', '03', '103'), ('source', '05', '105'), ('source', '03', '103')]
    assert bad_samples.summary(str(tmp_path / 'a')).startswith('2 samples of 2 files')
    for path in (data / 'img').glob('*.png'):
        path.write_bytes(b'')
    with pytest.raises(BadSampleError, match='10 samples in place of a bad one are bad too'):
        first[requests[0]]


def test_other_errors_of_a_pipeline_are_not_taken_for_bad_files(data):
    broken = dataset(data, 'skip')
    broken.dataset.pipeline.transforms.insert(2, lambda results: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken[SampleRequest(0, 0)]


def test_a_hiccup_is_no_bad_file(data, monkeypatch):
    whole, path, calls = dataset(data), data / 'img' / '03.png', []
    content = path.read_bytes()
    path.write_bytes(b'')
    monkeypatch.setattr(bad_samples.time, 'sleep', lambda s: (calls.append(s), path.write_bytes(content)))
    assert whole[SampleRequest(3, 1)]['inputs'].shape[0] == 3 and len(calls) == 1


@pytest.mark.ci
def test_training_goes_on_and_says_so(tiny_config, run_config, data, tmp_path):
    cfg = tiny_config(method='Supervised', max_iters=3, val_interval=100, num_workers=1, batch_size=4)
    cfg.train_dataloader.source.dataset.data_root = str(data)
    cfg.train_cfg.update(on_bad_sample='skip', preflight_samples=0)
    for stem in ('02', '07'):
        cut(data / 'label' / f'{stem}.png')
    runner = run_config(cfg)
    assert runner.iter == 3
    files = {Path(row[1]).name for row in csv.reader(open(tmp_path / 'run' / 'bad_samples.csv', newline=''))}
    assert files == {'02.png', '07.png'}
    cfg.train_cfg.on_bad_sample = 'stop'
    cfg.work_dir = str(tmp_path / 'stops')
    with pytest.raises(BadSampleError, match=r'label/0[27]\.png.*cut off'):
        run_config(cfg)
    cfg.train_cfg.on_bad_sample = 'ignore'
    with pytest.raises(ValueError, match="on_bad_sample='ignore'"):
        run_config(cfg)


def test_float_images_with_nan_are_refused_before_iteration_0(tiny_config, run_config, data):
    for path in (data / 'img').glob('*.png'):
        image = cv2.imread(str(path)).astype(np.float32)
        if path.stem == '07':
            image[79, 95, 1] = np.nan
        cv2.imwrite(str(path.with_suffix('.tiff')), image)
    cfg = tiny_config(method='Supervised', max_iters=2)
    source = cfg.train_dataloader.source.dataset
    source.update(data_root=str(data), img_suffix='.tiff')
    # the package's own loader takes no floating point at all
    source.pipeline[0].update(type='mmcv.LoadImageFromFile', color_type='unchanged', imdecode_backend='cv2')
    with pytest.raises(ValueError, match=r'stream "source": .*07\.tiff hold NaN or infinite pixels'):
        run_config(cfg)


def test_labels_of_one_pixel_and_without_a_class(data, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    for stem, shape in (('03', (1, 1)), ('04', (1, 7)), ('05', (7, 1))):
        cv2.imwrite(str(data / 'img' / f'{stem}.png'), np.zeros((*shape, 3), np.uint8))
        cv2.imwrite(str(data / 'label' / f'{stem}.png'), np.full(shape, 3, np.uint8))
    cv2.imwrite(str(data / 'label' / '06.png'), np.full((80, 96), 255, np.uint8))
    small = dataset(data)
    for index, shape in ((3, (1, 1)), (4, (1, 7)), (5, (7, 1))):
        assert small[SampleRequest(index, 0)]['data_samples'].gt_sem_seg.data.shape == (1, *shape)
    said = []
    monkeypatch.setattr(STATISTICS, 'print_log', lambda text, **kwargs: said.append(text))
    counts = class_statistics(small).pixel_counts
    assert int(counts[3, 3]) == 1 and int(counts[5, 3]) == 7
    told = [text for text in said if 'no pixel of any class' in text]
    assert len(told) == 1 and '1 of 12 labels (8.3 %)' in told[0] and str(data / 'label' / '06.png') in told[0]


def test_sampled_labels_without_a_class_are_told(data, monkeypatch):
    from mmseg_dg.engine.preflight import check_ignored_labels
    cv2.imwrite(str(data / 'label' / '00.png'), np.full((80, 96), 255, np.uint8))
    said = []
    monkeypatch.setattr(STATISTICS, 'print_log', lambda text, **kwargs: said.append(text))
    method = type('Method', (), dict(labeled_streams=('source', ), reads_all_labels=False))
    loader = type('Loader', (), dict(dataset=dataset(data)))
    check_ignored_labels(method, {'source': loader}, 4)
    assert '1 of 4 labels (25.0 %)' in said[0]
    assert torch.is_tensor(loader.dataset[0]['inputs'])


def test_pictures_of_the_citys_cache_are_named(tmp_path):
    city = SeededDataset(dict(type='SynthCityDataset', num_images=2, size=(64, 64), data_root=str(tmp_path),
                              num_workers=1, pipeline=[*LOAD, dict(type='PackStreamInputs')]))
    path = next(tmp_path.rglob('000001.jpg'))
    cut(path)
    with pytest.raises(BadSampleError, match=rf'{path}: the file is cut off.*rendered again at the next start'):
        city[SampleRequest(1, 0)]
    assert city[SampleRequest(0, 0)]['inputs'].shape == (3, 64, 64)


def test_nobody_is_told_to_delete_images_of_their_own(tmp_path):
    """Only what is rendered can be rendered again."""
    (tmp_path / 'img').mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ('0', '1'):
        cv2.imwrite(str(tmp_path / 'img' / f'{name}.png'), pixels)
    own = SeededDataset(dict(type='FolderDataset', classes=['a', 'b'], data_root=str(tmp_path),
                             data_prefix=dict(img_path='img'),
                             pipeline=[dict(type='LoadImageFromFile'), dict(type='PackStreamInputs')]))
    cut(tmp_path / 'img' / '1.png')
    with pytest.raises(BadSampleError, match='Repair it, or leave it out') as error:
        own[SampleRequest(1, 0)]
    assert 'Delete it' not in str(error.value)
