"""Fixtures every test may use."""
import gc
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from recorded import load_full, load_sampled

import mmseg_dg  # noqa: F401  prepares the library stack before any test imports mmseg

ROOT = Path(__file__).resolve().parent.parent
_NO_PARAMETERS = SimpleNamespace(params={})
torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))


def pytest_collection(session):
    gc.disable()  # nothing of what is collected is garbage


def pytest_collection_finish(session):
    """Take what lives as long as the suite out of the garbage collector's sight.

    mmengine runs the collector whenever a dataset is built; over all modules, configs and items of the suite that
    takes most of a second, and a run builds several datasets.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope='session')
def _quick_runners():
    """mmengine formats the config with yapf five times per runner (seconds each); tests can read it unformatted."""
    from mmengine.config import config
    from yapf.yapflib import yapf_api

    # mmengine 0.10.7 takes the function when it is imported, its maintained fork asks yapf at each call
    places = [place for place in (config, yapf_api) if hasattr(place, 'FormatCode')]
    with pytest.MonkeyPatch.context() as patch:
        for place in places:
            patch.setattr(place, 'FormatCode', lambda text, **kwargs: (text, True))
        yield


@pytest.fixture(scope='session')
def shared() -> Path:
    """The folder of development data, weights and golden tensors; it is not part of the package."""
    path = Path(os.environ.get('MMSEG_DG_SHARED', ROOT.parent / 'shared'))
    if not path.is_dir():
        pytest.skip(f'no development data at {path} (set MMSEG_DG_SHARED to the folder that has it)')
    return path


@pytest.fixture(scope='session')
def golden(shared):
    """``golden('fd.pt')`` loads one file of recorded reference tensors."""

    def load(name: str):
        return torch.load(shared / 'golden' / name)

    return load


@pytest.fixture(scope='session', params=['sampled', pytest.param('full', marks=pytest.mark.ci)])
def recorded(request):
    """``recorded('fd')`` loads the sample of a record that ships; in the second lane also the full-size record."""
    if request.param == 'sampled':
        return load_sampled
    folder = request.getfixturevalue('shared') / 'golden'
    return lambda name: load_full(folder, name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that README.md's table rests on must not be skipped: a skip of it is a failure."""
    outcome = yield
    report = outcome.get_result()
    parameters = getattr(item, 'callspec', _NO_PARAMETERS).params
    full_size = 'full' in (parameters.get('recorded'), parameters.get('record'))
    if report.skipped and item.get_closest_marker('claim') and not full_size and not hasattr(report, 'wasxfail'):
        report.outcome = 'failed'
        report.longrepr = f'{item.nodeid} proves a row of README.md and was skipped: {report.longrepr}'


@pytest.fixture(autouse=True)
def _default_scope():
    """Tests build parts by bare name, as a run does."""
    from mmengine.registry import DefaultScope
    if not DefaultScope.check_instance_created('mmseg_dg'):
        DefaultScope.get_instance('mmseg_dg', scope_name='mmseg_dg')
    yield


CLASSES = ('road', 'building', 'sky', 'car')
PALETTE = [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142]]


@pytest.fixture(scope='session')
def tiny_data(tmp_path_factory) -> Path:
    """Two little domains of 96x80 images, four classes, on disk: ``source`` and ``target`` with img/ and label/."""
    import cv2
    import numpy as np
    root = tmp_path_factory.mktemp('tiny_data')
    for d, domain in enumerate(('source', 'target')):
        rng = np.random.default_rng(d)
        for folder in ('img', 'label'):
            (root / domain / folder).mkdir(parents=True)
        for i in range(12):
            label = np.full((80, 96), 2, np.uint8)
            label[rng.integers(35, 50):] = 0
            x = rng.integers(0, 60)
            label[10:45, x:x + 30] = 1
            if i % 3 == 0:
                label[50:66, 20:44] = 3
            image = np.array(PALETTE)[label][..., ::-1] * (1.0, 0.6)[d] + rng.normal(0, 12, (80, 96, 3))
            label[:2] = 255
            cv2.imwrite(str(root / domain / 'img' / f'{i:02d}.png'), image.clip(0, 255).astype(np.uint8))
            cv2.imwrite(str(root / domain / 'label' / f'{i:02d}.png'), label)
    return root


@pytest.fixture
def tiny_config(tiny_data, tmp_path):
    """``tiny_config(method='DACS', **overrides)``: a complete config that trains a few iterations in seconds."""
    return partial(make_tiny_config, tiny_data, tmp_path)


@pytest.fixture(scope='session')
def tiny_config_in(tiny_data):
    """``tiny_config_in(folder, ...)``: as ``tiny_config``, for fixtures that outlive a test."""
    return partial(make_tiny_config, tiny_data)


def make_tiny_config(tiny_data, tmp_path, *method, **overrides):
    """See :func:`tiny_config`; work dirs are made below ``tmp_path``."""
    from mmengine.config import Config

    def dataset(domain, crop, labeled=True):
        pipeline = [dict(type='LoadImageFromFile')]
        pipeline += [dict(type='LoadAnnotations')] if labeled else []
        pipeline += [dict(type='RandomCrop', crop_size=crop), dict(type='RandomFlip', prob=0.5)] if crop else []
        pipeline += [dict(type='PackStreamInputs')]
        return dict(type='BaseSegDataset', data_root=str(tiny_data / domain),
                    metainfo=dict(classes=CLASSES, palette=PALETTE),
                    data_prefix=dict(img_path='img', seg_map_path='label'), img_suffix='.png', seg_map_suffix='.png',
                    pipeline=pipeline)

    def network(norm='BN', dropout=0.1):
        return dict(
            type='EncoderDecoder',
            backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1, 1, 1, 1],
                          num_heads=[1, 1, 1, 1], drop_path_rate=dropout, init_cfg=None),
            decode_head=dict(type='DAFormerHead', in_channels=[8, 8, 8, 8], in_index=[0, 1, 2, 3], channels=8,
                             embed_channels=8, fusion=dict(type='sep_aspp', dilations=(1, 6)), dropout_ratio=dropout,
                             num_classes=4, norm_cfg=dict(type=norm), align_corners=False,
                             loss_decode=dict(type='CrossEntropyLoss')),
            train_cfg=dict(), test_cfg=dict(mode='whole'))

    def build(method='DACS', max_iters=4, val_interval=2, work_dir='run', batch_size=2, num_workers=0, **model):
        loader = dict(batch_size=batch_size, num_workers=num_workers)
        streams = dict(source=dict(loader, dataset=dataset('source', (64, 64))))
        if method == 'DACS':
            streams['target'] = dict(loader, dataset=dataset('target', (64, 64), labeled=False))
        val = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                   dataset=dataset('target', None))
        hooks = [dict(type='EMAUpdateHook', beta=0.999, when='before_step', ramp=True)] if method == 'DACS' else []
        return Config(dict(
            default_scope='mmseg_dg', custom_imports=dict(imports=['mmseg_dg']), work_dir=str(tmp_path / work_dir),
            model=dict(type=method, network=network(), data_preprocessor=dict(
                type='MultiStreamDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True), **model),
            train_dataloader=streams, val_dataloader=dict(target=val), test_dataloader=dict(target=val),
            val_evaluator=dict(type='ConfusionMatrixMetric'), test_evaluator=dict(type='ConfusionMatrixMetric'),
            train_cfg=dict(type='MultiStreamTrainLoop', max_iters=max_iters, val_interval=val_interval),
            val_cfg=dict(type='MultiDomainValLoop'), test_cfg=dict(type='MultiDomainTestLoop'),
            optim_wrapper=dict(type='OptimWrapper', constructor='MergedParamGroups',
                               optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
                               paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.)), norm_decay_mult=0.)),
            param_scheduler=[dict(type='WarmupPolyLR', warmup_iters=2)], custom_hooks=hooks,
            default_hooks=dict(checkpoint=dict(type='DomainCheckpointHook', interval=2),
                               logger=dict(type='LoggerHook', interval=1)),
            env_cfg=dict(dist_cfg=dict(backend='gloo')), randomness=dict(seed=7), log_level='WARNING'))

    return build(*method, **overrides)


@pytest.fixture
def run_config():
    """``run_config(cfg)`` trains a config in this process and returns the runner."""
    from mmengine.runner import Runner

    from mmseg_dg.registry import RUNNERS
    from mmseg_dg.utils.run_names import name_run

    def run(cfg, train=True):
        name_run(cfg)  # two runs that start in one second would share a log
        runner = RUNNERS.build(cfg) if cfg.get('runner_type') else Runner.from_cfg(cfg)
        if train:
            runner.train()
        return runner

    return run
