"""Training without a config: bad arguments are refused first, the config that ran lies there and runs again."""
import csv
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

import mmseg_dg
from mmseg_dg import cli
from mmseg_dg.apis.config_text import nested, write_config

CLASSES = ['floor', 'wall', 'crack']


def plant(folder, count, size=(96, 128), seed=0, masks=True, ids=(0, 1, 2)):
    """Images of colored blocks in ``folder/images``, masks in ``folder/masks``."""
    rng = np.random.default_rng(seed)
    colors = np.array([[90, 90, 90], [40, 160, 40], [30, 60, 170]])
    for part in ('images', 'masks'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        blocks = rng.integers(0, len(ids), (size[0] // 16, size[1] // 16))
        blocks.flat[:len(ids)] = range(len(ids))
        label = np.kron(blocks, np.ones((16, 16), int))
        image = colors[label] + rng.normal(0, 10, (*label.shape, 3))
        cv2.imwrite(str(folder / f'images/{i}.png'), image.clip(0, 255).astype(np.uint8))
        if masks:
            cv2.imwrite(str(folder / f'masks/{i}.png'), np.asarray(ids, np.uint8)[label])
    return dict(images=folder / 'images', masks=folder / 'masks')


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp('own')
    return dict(source=plant(root / 'day', 4), target=dict(images=plant(root / 'night', 4, seed=1)['images']),
                val=plant(root / 'val', 2, seed=2), few=plant(root / 'few', 2, seed=3))


@pytest.mark.parametrize('change, error, text', [
    (dict(source='day'), ValueError, r"source='day': give source=dict\(images=FOLDER, masks=FOLDER\)"),
    (dict(source=dict(images='x')), ValueError, 'source: images and masks are needed'),
    (dict(target=dict(image='x')), ValueError, r"target: unknown \['image'\]"),
    (dict(target=dict(images='nowhere')), FileNotFoundError, r'target: there is no folder .*nowhere \(images\)'),
    (dict(classes=['crack']), ValueError, '2 to 255 names'),
    (dict(classes=['a', 'b', 'a']), ValueError, 'a name occurs twice'),
    (dict(classes='names.txt'), ValueError, "classes='names.txt': a list of names, or a text file"),
    (dict(palette=[[1, 2, 3]]), ValueError, '3 classes need as many colors'),
    (dict(method='magic'), ValueError, "method='magic': there are daformer, mic, source_only"),
    (dict(encoder='vgg16'), ValueError, r"encoder='vgg16': there are mobilenetv2"),
    (dict(encoder='mit_b0'), FileNotFoundError, 'prepare_weights mit_b0'),
    (dict(iterations=0), ValueError, 'iterations=0 must be a whole number of at least 1'),
    (dict(batch_size=True), ValueError, 'batch_size=True'),
    (dict(crop_size=(64, 8)), ValueError, r'crop_size=\(64, 8\)'),
    (dict(seed=-1), ValueError, 'seed=-1'),
    (dict(early_stopping=2), ValueError, 'early_stopping needs val'),
    (dict(learning_rate=1), ValueError, r"unknown settings \['learning_rate'\]"),
    (dict(resume=True, overwrite=True), ValueError, 'give one of them'),
    (dict(resume='auto'), ValueError, "resume='auto' must be True or False"),
    (dict(out=None), ValueError, 'out=None: give the folder of the run'),
    (dict(method=['mic']), ValueError, r"method=\['mic'\]: there are daformer"),
    (dict(options=['model.pseudo_threshold']), ValueError, r"options=\[.*give a dict as \{'model.pseudo_threshold'"),
    (dict(options={1: 2}), ValueError, 'options='),
    (dict(label_map={'255': 1}), ValueError, r'label_map=.*give a dict as \{255: 1\}'),
    (dict(target_labeled=dict(images='x')), ValueError, 'target_labeled: images and masks are needed'),
])
def test_bad_arguments_are_refused_before_anything_is_read(sets, tmp_path, monkeypatch, change, error, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cv2, 'imread', None)
    given = dict(source=sets['source'], target=sets['target'], classes=CLASSES, out=tmp_path / 'run', **{})
    with pytest.raises(error, match=text):
        mmseg_dg.adapt(**{**given, **change})
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('call, error, text', [
    (lambda s: mmseg_dg.semi_adapt(s['source'], s['target'], None, CLASSES, 'run'), ValueError, 'target_labeled=None'),
    (lambda s: mmseg_dg.semi_adapt(s['source'], s['target'], s['few'], CLASSES, 'run', method='source_only'),
     ValueError, "method='source_only' does not read the target"),
    (lambda s: mmseg_dg.train(s['target'], CLASSES, 'run'), ValueError, 'data: images and masks are needed'),
    (lambda s: mmseg_dg.semi(s['few'], s['target'], CLASSES, 'run', method='mic'), ValueError, "method='mic'"),
    (lambda s: mmseg_dg.suggest(s['source'], s['target'], classes=CLASSES, batch_size=0), ValueError, 'batch_size=0'),
    (lambda s: mmseg_dg.suggest(s['source'], s['target'], classes=CLASSES, crop_size=8), ValueError, 'crop_size=8'),
    (lambda s: mmseg_dg.suggest(s['source'], s['target'], classes=CLASSES, encoder='mit_b0'), FileNotFoundError,
     'prepare_weights mit_b0'),
    (lambda s: mmseg_dg.suggest(s['source'], s['target'], classes=CLASSES, label_map=[1]), ValueError, 'label_map='),
])
def test_siblings_refuse_before_anything_is_read(sets, tmp_path, monkeypatch, call, error, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('mmseg_dg.apis.suggest.fingerprint', None)
    monkeypatch.setattr(cv2, 'imread', None)
    with pytest.raises(error, match=text):
        call(sets)
    assert not (tmp_path / 'run').exists()


def test_few_target_labels_go_through_the_pipeline_of_the_encoders_recipe(sets, tmp_path):
    """The recipe for large encoders does not rescale; its third stream must not either."""
    (tmp_path / 'mit_b0.pth').touch()
    for encoder, rescales in ((None, True), (tmp_path / 'mit_b0.pth', False)):
        mmseg_dg.semi_adapt(sets['source'], sets['target'], sets['few'], CLASSES, tmp_path / 'run', encoder=encoder,
                            start=False)
        cfg = Config.fromfile(tmp_path / 'run/config.py')
        assert list(cfg.train_dataloader) == ['source', 'target', 'target_labeled']
        few, source = cfg.train_dataloader.target_labeled, cfg.train_dataloader.source
        assert few.dataset.pipeline == source.dataset.pipeline and few.batch_size == source.batch_size
        assert ('Resize' in [step.type for step in few.dataset.pipeline]) == rescales
        assert cfg.model.target_labeled_stream == 'target_labeled'
        assert 'Written by mmseg_dg.semi_adapt' in (tmp_path / 'run/config.py').read_text()


def test_a_run_is_not_written_over(sets, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/iter_5.pth').write_bytes(b'x')
    with pytest.raises(FileExistsError, match=r'resume=True \(--resume\) goes on with it, overwrite=True'):
        mmseg_dg.train(sets['source'], CLASSES, tmp_path)


@pytest.mark.ci
def test_importing_the_package_loads_no_room():
    code = ('import sys, mmseg_dg; assert "adapt" in dir(mmseg_dg); rooms = ("mmseg_dg.apis", "mmseg_dg.models", '
            '"mmseg.models"); assert not [name for name in sys.modules if name.startswith(rooms)]')
    subprocess.run([sys.executable, '-c', code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmseg_dg.nothing  # noqa: B018


def test_written_config_reads_back_with_its_reasons(tmp_path):
    settings = nested({'train_cfg.max_iters': 9, 'model.network.test_cfg': dict(mode='slide', crop_size=(64, 64)),
                       'train_dataloader.source.dataset.label_map': {255: 1}, 'val_dataloader': None,
                       'train_dataloader.source.dataset.pipeline': [dict(type='LoadImageFromFile'),
                                                                    dict(type='Resize', scale=(9, 9))]})
    (tmp_path / 'base.py').write_text("train_cfg = dict(max_iters=1, val_interval=5)\nval_dataloader = dict(a=1)\n")
    write_config(tmp_path / 'c.py', 'Two words.', str(tmp_path / 'base.py'), settings,
                 {'train_cfg.max_iters': 'because ' * 30})
    cfg = Config.fromfile(tmp_path / 'c.py')
    assert cfg.train_cfg == dict(max_iters=9, val_interval=5) and cfg.val_dataloader is None
    assert cfg.train_dataloader.source.dataset.label_map == {255: 1}
    assert cfg.model.network.test_cfg.crop_size == (64, 64)
    assert [step.type for step in cfg.train_dataloader.source.dataset.pipeline] == ['LoadImageFromFile', 'Resize']
    text = (tmp_path / 'c.py').read_text()
    assert text.count('because') == 30 and text.index('because') < text.index('max_iters')
    assert max(map(len, text.splitlines())) <= 100
    with pytest.raises(ValueError, match='reasons for settings that are not set'):
        write_config(tmp_path / 'd.py', 'x', 'base.py', {}, {'a.b': 'lost'})


def scores(folder, iteration):
    table, = folder.glob(f'*/evaluation_iter_{iteration}.csv')
    with open(table, newline='') as file:
        return [(row['domain'], row['mIoU']) for row in csv.DictReader(file)]


SMALL = dict(iterations=4, batch_size=2, crop_size=64, options={
    'train_dataloader.source.num_workers': 0, 'train_dataloader.source.persistent_workers': False,
    'train_dataloader.target.num_workers': 0, 'train_dataloader.target.persistent_workers': False,
    'val_dataloader.own.num_workers': 0, 'val_dataloader.own.persistent_workers': False,
    'test_dataloader.own.num_workers': 0, 'test_dataloader.own.persistent_workers': False,
    'default_hooks.logger.interval': 1})


@pytest.mark.ci
def test_the_written_config_runs_again_to_the_same_numbers(sets, tmp_path, monkeypatch, capsys):
    """adapt, then ``mim train`` of the config it left; load, predict and export take its folder."""
    trained = mmseg_dg.adapt(sets['source'], sets['target'], CLASSES, tmp_path / 'run', val=sets['val'], seed=3,
                             early_stopping=3, **SMALL)
    config = tmp_path / 'run/config.py'
    text = config.read_text()
    assert re.search(r"^_base_ = '.*custom/custom_uda_small\.py'$", text, re.M) and 'mim train mmseg_dg' in text
    image = sets['val']['images'] / '0.png'
    ids = trained.predict(image)
    assert ids.shape == (96, 128) and set(np.unique(ids)) <= {0, 1, 2} and trained.classes == tuple(CLASSES)
    again = mmseg_dg.load(tmp_path / 'run')
    assert again.file == trained.file and np.array_equal(again.predict(image), ids)
    assert np.array_equal(mmseg_dg.load(again.file).predict(image), ids)
    predict_and_export(tmp_path / 'run', image, ids, tmp_path / 'out', monkeypatch)
    done = subprocess.run([sys.executable, '-m', 'mim', 'train', 'mmseg_dg', str(config), '--gpus', '0', '--work-dir',
                           str(tmp_path / 'again')], env=dict(os.environ, OMP_NUM_THREADS='1'), cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    assert scores(tmp_path / 'again', 4) == scores(tmp_path / 'run/run', 4)
    ours, theirs = (torch.load(folder / 'iter_4.pth', weights_only=False)['state_dict']
                    for folder in (tmp_path / 'run/run', tmp_path / 'again'))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def predict_and_export(run, image, ids, out, monkeypatch):
    """``mmseg-dg predict`` and ``export`` on a folder that training wrote, and on what they wrote."""
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    for words in (['export', run, '--to', 'safetensors', '--out', out, '--name', 'mine'],
                  ['predict', run, image, '--out', out / 'of_folder'],
                  ['predict', '--out', out / 'of_file', None, '--overlay', image]):
        words = [str(next(out.glob('mine-*.safetensors')) if word is None else word) for word in words]
        monkeypatch.setattr(sys, 'argv', ['x'])
        with pytest.raises(SystemExit) as left:
            cli.main(words)
        assert left.value.code == 0
    for name in ('of_folder', 'of_file'):
        np.testing.assert_array_equal(cv2.imread(str(out / name / 'labels/0.png'), cv2.IMREAD_UNCHANGED), ids)
    assert (out / 'of_file/overlays/0.jpg').is_file()


@pytest.mark.ci
@pytest.mark.parametrize('task', ['train', 'semi', 'few target labels', 'source_only', 'mic'])
def test_siblings_write_configs_that_train(sets, tmp_path, task):
    common = dict(classes=CLASSES, out=tmp_path / 'run', iterations=1, batch_size=2, crop_size=64)
    if task == 'train':
        done = mmseg_dg.train(sets['source'], **common)
    elif task == 'semi':
        done = mmseg_dg.semi(sets['few'], sets['target'], **common)
    elif task in ('source_only', 'mic'):
        done = mmseg_dg.adapt(sets['source'], sets['target'], method=task, **common)
        assert (getattr(done.model, 'masked', None) is not None) == (task == 'mic')
    else:
        done = mmseg_dg.semi_adapt(sets['source'], sets['target'], sets['few'], **common)
        assert done.model.streams == ('source', 'target', 'target_labeled')
    assert done.predict(sets['val']['images'] / '0.png').shape == (96, 128), 'without val as well'
    assert not list((tmp_path / 'run/run').glob('*/evaluation*')), 'nothing was scored'


@pytest.mark.ci
def test_early_stopping_ends_the_run(tiny_config, run_config):
    """The hook that ``early_stopping`` writes, with a step no score makes."""
    cfg = tiny_config('Supervised', max_iters=8, val_interval=1)
    cfg.custom_hooks = [dict(type='EarlyStoppingHook', monitor='mean/mIoU', rule='greater', patience=2, min_delta=100)]
    assert run_config(cfg).iter == 3, 'one validation to compare with, two without a better score'


def test_early_stopping_keeps_the_hooks_of_the_recipe(sets, tmp_path):
    mmseg_dg.adapt(sets['source'], sets['target'], CLASSES, tmp_path, val=sets['val'], early_stopping=4, start=False)
    hooks = Config.fromfile(tmp_path / 'config.py').custom_hooks
    assert [hook.type for hook in hooks] == ['EMAUpdateHook', 'TrainingPicturesHook', 'EarlyStoppingHook']
    assert hooks[-1].patience == 4


def test_what_a_config_file_holds_can_be_read_back():
    """Also a path or a dict below keys that are no names of arguments."""
    from pathlib import Path

    from mmseg_dg.apis.config_text import _literal
    value = {0: Path('a/b'), 'x-y': dict(type='A', size=(1, )), 'empty': {}, 'class': [Path('c')]}
    assert eval(_literal(value)) == {0: 'a/b', 'x-y': dict(type='A', size=(1, )), 'empty': {}, 'class': ['c']}
