"""Both stages of DeFT in one run, their resume, and the decoder warm-up with other methods."""
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook

from mmseg_dg.engine.hooks import DecoderWarmupHook, EMAUpdateHook, ReestimateStatisticsHook
from mmseg_dg.utils.checkpoint_reader import read_checkpoint

from . import _deft_ranks
from .test_distributed import HERE, launch
from .test_resume import _stopping_after, assert_identical, state_of

WARMUP, TOTAL = 3, 6


@pytest.fixture
def deft_config(tiny_config):

    def build(ema=None, warmup_hook=None, scheduler=None, method='DeFT', max_iters=TOTAL, **options):
        if method == 'DeFT':
            options.setdefault('warmup_iters', WARMUP)
        cfg = tiny_config(method=method, max_iters=max_iters, **options)
        cfg.custom_hooks = [ConfigDict(dict(dict(type='DecoderWarmupHook'), **(warmup_hook or {})))]
        if method == 'DeFT':
            cfg.custom_hooks.append(ConfigDict(dict(dict(type='EMAUpdateHook', beta=0.9), **(ema or {}))))
        cfg.optim_wrapper = ConfigDict(
            type='OptimWrapper', constructor='ComponentParamGroups',
            optimizer=dict(type='SGD', lr=1e-2, momentum=0.9, weight_decay=5e-4))
        cfg.param_scheduler = [ConfigDict(dict(dict(
            type='TwoStagePolyLR', warmup=dict(decay_mult=10.)),
            **(scheduler or {})))]
        return cfg

    return build


class Recorder(Hook):
    """What every iteration was trained with."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.rows = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        self.rows.append(dict(
            iter=runner.iter, lr=[g['lr'] for g in runner.optim_wrapper.optimizer.param_groups],
            decay=[g['weight_decay'] for g in runner.optim_wrapper.optimizer.param_groups],
            frozen=not any(p.requires_grad for p in model.student.backbone.parameters()),
            memory=len(runner.optim_wrapper.optimizer.state),
            encoder=torch.cat([p.detach().flatten() for p in model.student.backbone.parameters()]).clone(),
            decoder=torch.cat([p.detach().flatten() for p in model.student.decode_head.parameters()]).clone(),
            steps=[int(a.steps) for _, a in model.ema_pairs().values()], over=getattr(model, 'handed_over', None)))


def recorded(cfg, run_config):
    runner = run_config(cfg, train=False)
    recorder = Recorder()
    runner.register_hook(recorder, priority='VERY_LOW')
    runner.train()
    return runner, recorder.rows


# ---------------------------------------------------------------- both stages in one run
def test_one_run_trains_both_stages(deft_config, run_config):
    runner, rows = recorded(deft_config(), run_config)
    assert [row['frozen'] for row in rows] == [True] * WARMUP + [False] * (TOTAL - WARMUP)
    assert [row['over'] for row in rows] == [False] * WARMUP + [True] * (TOTAL - WARMUP)
    assert [row['steps'] for row in rows] == [[0, 0]] * (WARMUP + 1) + [[1, 1], [2, 2]]
    expected = [1e-2 * (1 - t % WARMUP / 3)**0.9 for t in range(TOTAL)]
    for row, lr in zip(rows, expected):
        assert row['lr'] == pytest.approx([lr] * 2)
        assert row['decay'] == [5e-3 if row['iter'] < WARMUP else 5e-4] * 2
    assert rows[WARMUP]['memory'] == 0 < rows[WARMUP - 1]['memory'], 'momentum starts anew at the hand-over'
    assert torch.equal(rows[0]['encoder'], rows[WARMUP]['encoder'])
    assert not torch.equal(rows[WARMUP]['encoder'], rows[WARMUP + 1]['encoder'])
    for a, b in zip(rows, rows[1:]):
        assert not torch.equal(a['decoder'], b['decoder'])
    average = rows[WARMUP]['decoder']
    trained = torch.cat([p.detach().flatten() for p in runner.model.student.decode_head.parameters()])
    for value in (rows[WARMUP + 1]['decoder'], rows[WARMUP + 2]['decoder'], trained):
        average = 0.9 * average + 0.1 * value
    retentive = torch.cat([p.flatten() for p in runner.model.decoder.module.parameters()])
    torch.testing.assert_close(retentive, average, rtol=1e-5, atol=1e-7)


def test_the_warm_up_leaves_the_log_with_the_hand_over(deft_config, run_config, tmp_path):
    """A value that is computed no more is not repeated; also not in a run that resumes."""
    import json

    def rows(name):
        file = max((tmp_path / name).rglob('vis_data/scalars.json'), key=lambda path: str(path))
        return [json.loads(line) for line in file.read_text().splitlines() if 'loss' in line]

    cfg = deft_config(val_interval=100)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    run_config(cfg)
    found = rows('run')
    assert len(found) == TOTAL
    for i, row in enumerate(found):
        assert any(key.startswith('warmup.') for key in row) == (i < WARMUP)
        assert any(key.startswith('encoder.') for key in row) == (i >= WARMUP)


@pytest.mark.ci
def test_resume_inside_either_stage(deft_config, run_config, tmp_path):
    def config(name):
        cfg = deft_config(work_dir=name, val_interval=100,
                          ema=dict(beta=dict(encoder=0.9, decoder=0.8),
                                   buffers=dict(encoder='batch', decoder='average')),
                          distance=dict(weight_encoder=1e-2, weight_decoder=1e-2),
                          style_augmentation=dict(type='LABStyle'))
        cfg.default_hooks.checkpoint.interval = 1
        return cfg

    run_config(config('whole'))
    whole = state_of(tmp_path / 'whole' / 'iter_6.pth')
    for stop in (2, WARMUP, 5):
        name = f'part{stop}'
        run_config(_stopping_after(config(name), stop))
        assert not (tmp_path / name / f'iter_{stop + 1}.pth').exists()
        cfg = config(name)
        cfg.resume = True
        assert run_config(cfg).iter == TOTAL
        assert_identical(whole, state_of(tmp_path / name / 'iter_6.pth'))


def test_validation_in_the_warm_up_judges_the_decoder_in_training(deft_config, run_config, tmp_path):
    cfg = deft_config(max_iters=4, val_interval=2)
    runner = run_config(cfg)
    trained = read_checkpoint(tmp_path / 'run' / 'iter_2.pth')
    assert int(trained['state_dict']['stage']) == 1
    cfg = deft_config(work_dir='test')
    cfg.load_from = str(tmp_path / 'run' / 'iter_2.pth')
    metrics = run_config(cfg, train=False).test()
    value = trained['message_hub']['log_scalars']['val/target/mIoU'].current()
    assert metrics['target/mIoU'] == pytest.approx(float(value), abs=1e-9)
    assert runner.model.handed_over


@pytest.mark.ci
def test_finetuning_continues_a_saved_warm_up(deft_config, run_config, tmp_path):
    """One warm-up can be shared by several ablations: load its last checkpoint with warmup_iters=0."""
    run_config(deft_config(max_iters=WARMUP, val_interval=100))
    cfg = deft_config(work_dir='second', max_iters=2, warmup_iters=0, val_interval=100)
    cfg.load_from = str(tmp_path / 'run' / 'iter_3.pth')
    runner, rows = recorded(cfg, run_config)
    warm = torch.load(cfg.load_from)['state_dict']
    start = [v for k, v in warm.items() if k.startswith('student.decode_head.')]
    assert rows[0]['over'] and start and runner.model.handed_over
    assert torch.equal(rows[0]['decoder'], torch.cat([
        warm[f'student.decode_head.{k}'].flatten() for k, _ in runner.model.student.decode_head.named_parameters()]))
    assert [int(a.steps) for _, a in runner.model.ema_pairs().values()] == [2, 2]
    again = deft_config(work_dir='third')
    again.load_from = str(tmp_path / 'second' / 'iter_2.pth')
    with pytest.raises(ValueError, match='beyond its decoder warm-up'):
        run_config(again)


def test_length_in_epochs(deft_config, run_config):
    """12 source images in batches of 2: one epoch is 6 iterations."""
    cfg = deft_config(max_iters=8, warmup_hook=dict(warmup_epochs=1), warmup_iters=3, val_interval=100)
    _, rows = recorded(cfg, run_config)
    assert [row['over'] for row in rows] == [False] * 6 + [True] * 2
    assert rows[6]['lr'] == pytest.approx([1e-2] * 2)
    assert rows[3]['lr'] == pytest.approx([1e-2 * 0.5**0.9] * 2)


# ---------------------------------------------------------------- the hook with other methods and loops
def test_hook_alone_with_another_method(deft_config, run_config):
    cfg = deft_config(method='Supervised', warmup_hook=dict(warmup_iters=2), max_iters=4)
    _, rows = recorded(cfg, run_config)
    assert [row['frozen'] for row in rows] == [True, True, False, False]
    assert torch.equal(rows[0]['encoder'], rows[2]['encoder'])
    assert not torch.equal(rows[0]['decoder'], rows[2]['decoder'])
    assert not torch.equal(rows[2]['encoder'], rows[3]['encoder'])


@pytest.mark.ci
def test_resume_at_the_hand_over_of_another_method(deft_config, run_config, tmp_path):
    def config(name):
        cfg = deft_config(method='Supervised', warmup_hook=dict(warmup_iters=2), max_iters=4, work_dir=name,
                          val_interval=100)
        cfg.default_hooks.checkpoint.interval = 1
        return cfg

    run_config(config('whole'))
    run_config(_stopping_after(config('part'), 2))
    cfg = config('part')
    cfg.resume = True
    run_config(cfg)
    assert_identical(state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'part' / 'iter_4.pth'))


def test_parts_frozen_by_the_network_stay_frozen(deft_config, run_config):
    cfg = deft_config(method='Supervised', warmup_hook=dict(warmup_iters=1), max_iters=2)
    runner = run_config(cfg, train=False)
    frozen, *others = runner.model.student.backbone.parameters()
    frozen.requires_grad_(False)
    runner.train()
    assert not frozen.requires_grad and all(p.requires_grad for p in others)


def test_plain_segmentor_in_mmengines_loop(tiny_config, run_config):
    cfg = tiny_config(method='Supervised', max_iters=4)
    source = cfg.train_dataloader.source
    for step in source.dataset.pipeline:
        if step.type == 'PackStreamInputs':
            step.type = 'PackSegInputs'
    cfg.train_dataloader = dict(source, sampler=dict(type='InfiniteSampler', shuffle=True))
    cfg.model = dict(cfg.model.network, data_preprocessor=dict(cfg.model.data_preprocessor, size=(64, 64)))
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=100)
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=100)
    cfg.custom_hooks = [dict(type='DecoderWarmupHook', warmup_iters=2)]
    runner = run_config(cfg, train=False)
    weight = next(runner.model.backbone.parameters())
    values = []

    class Look(Hook):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            values.append(weight.detach().clone())

    runner.register_hook(Look())
    runner.train()
    assert [torch.equal(values[0], x) for x in values] == [True, True, True, False]


# ---------------------------------------------------------------- statistics before a test
@pytest.mark.ci
def test_reestimated_statistics(deft_config, run_config, tmp_path):
    """They change what is judged and saved, and nothing in the training."""
    def config(name, hook):
        cfg = deft_config(work_dir=name, val_interval=3)
        cfg.default_hooks.checkpoint.interval = 3
        if hook:
            cfg.custom_hooks.append(dict(type='ReestimateStatisticsHook', batches=6, batch_size=2))
        return cfg

    run_config(config('plain', False))
    runner = run_config(config('again', True))
    first, second = (state_of(tmp_path / name / 'iter_6.pth') for name in ('plain', 'again'))
    changed = {k for k in first if not torch.equal(first[k], second[k])}
    assert changed and all(k.startswith('state_dict.decoder.module.') for k in changed)
    assert {k.rpartition('.')[2] for k in changed} <= {'running_mean', 'running_var', 'num_batches_tracked'}
    model = runner.model
    layer = next(m for m in model.decoder.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert layer.momentum == 0.1
    seen = []
    handle = layer.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    ReestimateStatisticsHook(batches=2).estimate(runner, model)
    handle.remove()
    assert len(seen) == 2
    torch.testing.assert_close(layer.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(layer.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    part = config('part', True)
    run_config(_stopping_after(part, 3))
    part = config('part', True)
    part.resume = True
    run_config(part)
    assert_identical(second, state_of(tmp_path / 'part' / 'iter_6.pth'))


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize('arguments, match', [
    (dict(warmup_iters=3, warmup_epochs=1), 'not both'),
    (dict(warmup_iters=-1), 'must not be negative'),
    (dict(warmup_epochs=-2), 'must not be negative'),
])
def test_bad_lengths(arguments, match):
    with pytest.raises(ValueError, match=match):
        DecoderWarmupHook(**arguments)


@pytest.mark.parametrize('arguments, match', [
    (dict(beta=1.1), r'beta must lie in \[0, 1\]'),
    (dict(beta=dict(encoder=0.9, decoder=-0.1)), r'beta must lie in \[0, 1\]'),
    (dict(buffers='mean'), 'unknown BatchNorm policy'),
    (dict(buffers=dict(encoder='batch', decoder='mean')), 'unknown BatchNorm policy'),
])
def test_bad_averages(arguments, match):
    with pytest.raises(ValueError, match=match):
        EMAUpdateHook(**arguments)


@pytest.mark.parametrize('options, match', [
    (dict(warmup_iters=7), 'warm-up of 7 iterations is longer than the training of 6'),
    (dict(warmup_hook=dict(warmup_epochs=2)), 'warm-up of 12 iterations is longer'),
    (dict(scheduler=dict(warmup_iters=2)), 'restarts after 2 iterations, but the decoder warm-up lasts 3'),
    (dict(ema=dict(beta=dict(teacher=0.9))), "must name each average of the method once: .'encoder', 'decoder'"),
    (dict(method='Supervised'), 'has no warm-up of its own'),
    (dict(norm_eval=True, hooks=[dict(type='ReestimateStatisticsHook')]), 'with which BatchNorm normalizes'),
    (dict(ema=dict(buffers='copy'), hooks=[dict(type='ReestimateStatisticsHook')]), 'with which BatchNorm'),
    (dict(hooks=[dict(type='ReestimateStatisticsHook', parts=['neck'])]), r"has no \['neck'\]"),
])
def test_refused_before_training(deft_config, run_config, options, match):
    options = dict(options)
    extra = options.pop('hooks', [])
    cfg = deft_config(**options)
    cfg.custom_hooks += extra
    runner, recorder = run_config(cfg, train=False), Recorder()
    runner.register_hook(recorder)
    with pytest.raises(ValueError, match=match):
        runner.train()
    assert recorder.rows == []


def test_method_without_its_hook(deft_config, run_config):
    cfg = deft_config()
    cfg.custom_hooks = [h for h in cfg.custom_hooks if h.type != 'DecoderWarmupHook']
    with pytest.raises(ValueError, match='DeFT needs DecoderWarmupHook'):
        run_config(cfg)


# ---------------------------------------------------------------- two processes
@pytest.mark.ci
def test_two_processes_freeze_and_unfreeze_alike(deft_config, tmp_path):
    """Each process trains on its half; gradients are averaged in both stages, so that one process gives the same."""
    cfg = deft_config(norm_eval=True)
    cfg.model.network.backbone.drop_path_rate = cfg.model.network.decode_head.dropout_ratio = 0.
    cfg.dump(tmp_path / 'cfg.py')
    launch(2, HERE / '_deft_ranks.py', tmp_path / 'cfg.py', tmp_path / 'out')
    first, second = (torch.load(tmp_path / f'out.{rank}') for rank in (0, 1))
    one = _deft_ranks.train(str(tmp_path / 'cfg.py'), 0, 1)
    for name, value in one['state_dict'].items():
        torch.testing.assert_close(first['state_dict'][name], value, rtol=1e-4, atol=2e-6, msg=name)
        assert torch.equal(first['state_dict'][name], second['state_dict'][name]), f'{name} differs between ranks'
    assert one['moved'] == [False, True], 'the encoder moves in the second stage only'
