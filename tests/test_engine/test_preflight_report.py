"""All problems of a config in one report, with lines that mend them; what a user writes counts."""
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config, ConfigDict

from mmseg_dg.engine.preflight import config_problems, lines_to_paste
from mmseg_dg.engine.preflight.encoder import encoder_problems
from mmseg_dg.engine.preflight.margins import margin_problems
from mmseg_dg.engine.preflight.paste import as_python, keys_written
from mmseg_dg.engine.preflight.schedules import length_problems, optimizer_problems, schedule_problems
from mmseg_dg.methods import DACS
from mmseg_dg.registry import HOOKS, MODELS
from mmseg_dg.weights.files import encoder_start

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAIVE = """_base_ = {base!r}
classes = ['road', 'building', 'sky', 'car']
mine = dict(type='FolderDataset', classes=classes, data_root={data!r},
            data_prefix=dict(img_path='img', seg_map_path='label'))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='RandomCrop', crop_size=(64, 64)),
            dict(type='PackStreamInputs')]
val_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(mine=dict(batch_size=2, num_workers=0, dataset=dict(pipeline=pipeline, **mine)))
val_dataloader = dict(own=dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                               dataset=dict(pipeline=val_pipeline, **mine)))
val_evaluator = dict(type='ConfusionMatrixMetric')
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=6e-5))
train_cfg = dict(max_iters=3, val_interval=3)
custom_hooks = [dict(type='EMAUpdateHook', beta=0.99), dict(type='StylePrototypeHook')]
model = dict(network=dict(backbone=dict(init_cfg=None), decode_head=dict(num_classes=4)))
sync_bn = None
"""


@pytest.fixture
def naive(tiny_data, tmp_path):
    """A DeFT child for another domain as one writes it who does not know how MMEngine merges."""
    path = tmp_path / 'naive.py'
    path.write_text(NAIVE.format(base=str(CONFIGS / 'deft' / 'deft_r50_gta.py'), data=str(tiny_data / 'source')))
    return path


def pasted(path, report):
    """The file with the lines of a report, at its end, as the report says."""
    lines = report.split(f'Lines to paste at the end of {path}:\n')[1].splitlines()
    assert all(line.startswith('    ') for line in lines)
    path.write_text(path.read_text() + '\n'.join(line[4:] for line in lines) + '\n')


def report_of(path, network):
    """What the training loop asks for when it is built, with a small network in place of ResNet-50."""
    cfg = Config.fromfile(path)
    settings = {k: v for k, v in cfg.model.items() if k in ('type', 'stream', 'warmup_iters')}
    runner = SimpleNamespace(cfg=cfg, _load_from=None, _resume=False,
                             model=MODELS.build(ConfigDict(network=network, **settings)))
    runner.hooks = [HOOKS.build(hook) for hook in [*cfg.custom_hooks, cfg.default_hooks.checkpoint]]
    streams = {name: config for name, config in cfg.train_dataloader.items() if config is not None}
    return config_problems(runner, runner.model, streams, cfg.train_cfg)


def test_a_naive_child_fails_once_and_the_pasted_lines_mend_it(naive, tiny_config):
    network = tiny_config().model.network
    problems = report_of(naive, network)
    with pytest.raises(ValueError) as info:
        problems.raise_all()
    text = str(info.value)
    for part in (f'{len(problems.errors)} problems', "unknown ['mine']", "still has the domains ['cityscapes'",
                 'one metric for all domains and has metrics of', 'val_cfg.protocols names',
                 "save_best='gta/mIoU' is not a metric", 'needs DecoderWarmupHook', 'StylePrototypeHook: the encoder',
                 'warm-up of 8000 iterations is longer than the training of 3', 'AdamW takes no momentum=0.9',
                 'test_dataloader still has those of the base', 'test_cfg.protocols names'):
        assert part in text, part
    assert 'data/gta' not in text, 'the stream of the base is switched off by a pasted line'
    pasted(naive, text)
    assert not report_of(naive, network).errors
    cfg = Config.fromfile(naive)
    assert list(cfg.val_dataloader) == list(cfg.test_dataloader) == ['own']
    assert cfg.model.network.decode_head.num_classes == 4, 'what the user wrote stays'
    assert (cfg.optim_wrapper.optimizer.type, cfg.optim_wrapper.optimizer.lr) == ('AdamW', 6e-5)
    assert [hook.type for hook in cfg.custom_hooks] == ['DecoderWarmupHook', 'EMAUpdateHook']


@pytest.mark.ci
def test_the_pasted_lines_make_it_train(naive, run_config, tmp_path):
    def run():
        cfg = Config.fromfile(naive)
        cfg.update(work_dir=str(tmp_path / 'run'), log_level='WARNING')
        cfg.model.network.backbone.update(depth=18)  # quick; the widths of its stages follow
        cfg.model.network.decode_head.update(in_channels=[64, 512], channels=16, c1_channels=8)
        return run_config(cfg)

    with pytest.raises(ValueError) as info:
        run()
    pasted(naive, str(info.value))
    assert run().iter == 3


def test_a_dataset_merged_into_that_of_the_base(naive, tiny_config, tiny_data):
    """``type`` replaced without ``_delete_``, and one validation domain of several."""
    data = f"dict(dataset=dict(type='FolderDataset', classes=['a', 'b'], data_root={str(tiny_data / 'source')!r}," \
           "data_prefix=dict(img_path='img', seg_map_path='label')))"
    base = str(CONFIGS / 'deft' / 'deft_r50_gta.py')
    naive.write_text(f'_base_ = {base!r}\ntrain_dataloader = dict(source={data})\n'
                     f'val_dataloader = dict(gta={data})\nmodel = dict(network=dict(backbone=dict(init_cfg=None)))\n')
    network = tiny_config().model.network
    with pytest.raises(ValueError, match="FolderDataset takes no split='train', exclude='splits/unusable.txt', raw_ids"
                       ) as info:
        report_of(naive, network).raise_all()
    pasted(naive, str(info.value))
    assert not report_of(naive, network).errors
    cfg = Config.fromfile(naive)
    assert [name for name, loader in cfg.val_dataloader.items() if loader] == ['gta']
    assert cfg.val_dataloader.gta.sampler.type == 'DefaultSampler', 'the rest of the domain is still the base\'s'


def test_lines_change_what_the_file_made(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("model = dict(network=dict(x=1))\ntrain_dataloader = {'a': dict(b=1)}\n")
    fix = {'model.network.y': [dict(type='A')], 'val_cfg.protocols.own': {}, 'val_cfg.x': None}
    text = lines_to_paste(fix, str(path))
    lines = [line.strip() for line in text.splitlines()[2:]]
    assert lines == ["model.setdefault('network', {})['y'] = [dict(type='A')]",
                     'val_cfg = dict(protocols=dict(own=dict()), x=None)']
    space = {}
    exec(path.read_text() + '\n'.join(lines), space)  # noqa: S102
    assert space['model'] == dict(network=dict(x=1, y=[dict(type='A')]))
    assert keys_written(str(path), 'train_dataloader', 'a') == {'b'}
    assert as_python({'a b': (1, ), 'c': 'd'}) == "{'a b': (1,), 'c': 'd'}"
    assert lines_to_paste({}, str(path)) == ''


# ---------------------------------------------------------------- lengths, optimizer, schedules
def messages(found):
    return [str(error) for error in found]


def test_a_length_beside_that_of_the_base(tmp_path):
    """DDeP's base counts epochs; a child that sets max_iters keeps them."""
    path = tmp_path / 'child.py'
    path.write_text('train_cfg = dict(max_iters=1000)\n')
    base = Config.fromfile(CONFIGS / 'ddep' / 'ddep_transunet_1x_imagenet21k.py').train_cfg
    error, = length_problems(dict(base, max_iters=1000), str(path))
    assert 'max_iters=1000, max_epochs=100' in str(error) and 'take out the length of the base with None' in str(error)
    assert error.fix == {'train_cfg.max_epochs': None, 'train_cfg.epoch_stream': None, 'train_cfg.val_interval': 100}
    assert not list(length_problems(dict(max_iters=10)))
    assert 'got max_iters=None' in messages(length_problems({}))[0]


def test_an_optimizer_merged_into_that_of_the_base():
    error, = optimizer_problems(dict(optimizer=dict(type='AdamW', lr=1e-3, momentum=0.9, weight_decay=0.1)))
    assert 'AdamW takes no momentum=0.9' in str(error)
    assert error.fix['optim_wrapper.optimizer'] == dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.1)
    assert not list(optimizer_problems(dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9))))
    assert 'is not registered' in messages(optimizer_problems(dict(optimizer=dict(type='Addam'))))[0]


@pytest.mark.parametrize('schedulers, hooks, match', [
    ([dict(type='WarmupPolyLR', end=100)], [], 'end=100 would be ignored'),
    ([dict(type='LinearLR', by_epoch=False), dict(type='WarmupPolyLR')], [], 'the others do to it is overwritten'),
    ([dict(type='WarmupPolyLR', warmup_iters=1500)], [], 'warmup_iters=1500 is longer than the schedule of 1000'),
    ([dict(type='PolyLR', power=0.9)], [], 'PolyLR counts epochs'),
    ([dict(type='TwoStagePolyLR', warmup=dict(decay_mult=10.))], [], 'nobody says how long the warm-up is'),
    ([dict(type='TwoStagePolyLR', warmup=dict(decay_mult=10.))], ['DecoderWarmupHook'], None),
    ([dict(type='LinearLR', by_epoch=False), dict(type='PolyLR', by_epoch=False)], [], None),
    ([dict(type='PolyLR', by_epoch=True, convert_to_iter_based=True)], [], None),
])
def test_schedules_that_would_be_ignored(schedulers, hooks, match):
    found = messages(schedule_problems(schedulers, 1000, hooks))
    assert (len(found) == 1 and match in found[0]) if match else not found


def test_a_seed_of_a_sampler_is_not_ignored_in_silence(tiny_config):
    from mmseg_dg.engine.preflight.configs import stream_config_problems
    config = dict(tiny_config().train_dataloader.source, sampler=dict(type='StatefulInfiniteSampler', seed=5))
    found = messages(stream_config_problems('source', config))
    assert len(found) == 1 and 'source.sampler.seed=5 would be ignored' in found[0]


# ---------------------------------------------------------------- the encoder's weights
def method_with(init, kind='DeFT', network=None, **settings):
    network = ConfigDict(network)
    network.backbone.pop('init_cfg', None)
    network.backbone.update(init)
    return MODELS.build(ConfigDict(type=kind, network=network, **settings))


@pytest.mark.parametrize('kind, settings, refused', [
    ('DeFT', {}, 'its pathways hold'), ('DDeP', dict(encoder_norm=None), 'it stays frozen'),
    ('DDeP', dict(encoder_norm=None, train_encoder=True), None), ('Supervised', {}, None)])
def test_an_encoder_nobody_gives_weights(tiny_config, kind, settings, refused):
    network = tiny_config().model.network
    plain = SimpleNamespace(_load_from=None, _resume=False)
    silent = method_with({}, kind, network, **settings)
    found = messages(encoder_problems(plain, silent))
    if refused:
        assert len(found) == 1 and refused in found[0] and 'init_cfg=None' in found[0]
    else:
        assert not found
    assert not list(encoder_problems(plain, method_with(dict(init_cfg=None), kind, network, **settings)))
    assert not list(encoder_problems(SimpleNamespace(_load_from='x.pth', _resume=False), silent))


def test_a_random_encoder_is_said_at_the_beginning(tiny_config, run_config, capsys):
    cfg = tiny_config(method='Supervised', max_iters=2, val_interval=10)
    del cfg.model.network.backbone['init_cfg']
    run_config(cfg)
    assert 'starts from RANDOM weights' in capsys.readouterr().out


def test_absent_is_not_none():
    assert encoder_start(dict(backbone=dict(type='A'))) == 'absent'
    assert encoder_start(dict(backbone=dict(type='A', init_cfg=None))) == 'none'
    assert encoder_start(dict(backbone=dict(type='A', stem=dict(init_cfg=dict(type='Pretrained'))))) == 'given'
    assert encoder_start(dict(backbone=dict(type='A'), pretrained='x.pth')) == 'given'


# ---------------------------------------------------------------- margins
def test_margins_stay_with_their_datasets():
    cfg = Config.fromfile(CONFIGS / 'daformer' / 'daformer_mitb5_gta2cityscapes.py')
    assert (cfg.model.ignore_top, cfg.model.ignore_bottom) == (15, 120)
    method = DACS.__new__(DACS)
    vars(method).update(target_stream='target', ignore_top=15, ignore_bottom=120, margins_of=cfg.model.margins_of)
    assert not list(margin_problems(method, cfg.train_dataloader))
    streams = dict(target=dict(dataset=dict(type='FolderDataset', pipeline=[])))
    error, = margin_problems(method, streams)
    assert 'stream "target" reads FolderDataset' in str(error)
    assert error.fix == {'model.ignore_top': 0, 'model.ignore_bottom': 0}
    method.margins_of = 'FolderDataset'
    assert not list(margin_problems(method, streams))
    streams['target']['dataset']['pipeline'] = [dict(type='PseudoLabelMargins', bottom=9, of='CityscapesDataset')]
    assert 'PseudoLabelMargins of CityscapesDataset' in messages(margin_problems(method, streams))[0]


@pytest.mark.parametrize('name', ['daformer', 'dacs', 'hrda', 'hrda_semi'])
def test_a_method_alone_has_no_margins(name):
    method = Config.fromfile(CONFIGS / '_base_' / 'methods' / f'{name}.py').method
    assert not method.get('ignore_top') and not method.get('ignore_bottom')


def test_rows_without_pseudo_labels_are_said(tiny_config, monkeypatch):
    said = []
    monkeypatch.setattr('mmseg_dg.methods.margins.print_log',
                        lambda text, logger, level: said.append((text, level)))
    model = tiny_config(ignore_top=15, ignore_bottom=120).model
    method = MODELS.build(model)
    method._report_rows(256, None)
    method._report_rows(256, None)
    assert len(said) == 1 and said[0][1] == logging.WARNING and '52.7 % of the rows' in said[0][0]
    method = MODELS.build(model)
    method._report_rows(512, None)
    assert said[1][1] == logging.INFO and '26.4 % of the rows' in said[1][0]
    valid = torch.ones(2, 8, 4)
    valid[0, 5:] = 0
    method = MODELS.build(tiny_config(use_valid_mask=True).model)
    method._report_rows(8, valid)
    assert '18.8 % of the rows' in said[2][0]
