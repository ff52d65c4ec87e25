"""The training loop: lengths, accumulation, positions, runners."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper

from mmseg_dg.engine.loops.multi_stream import build_streams, stream_seed
from mmseg_dg.engine.optim import merge_param_groups
from mmseg_dg.engine.optim.warmup_poly import poly_factor, warmup_factor
from mmseg_dg.methods.base import BaseMethod
from mmseg_dg.methods.step import Pass, PassResult, StepContext, StepRecorder, StepState, run_step


def test_epochs_of_a_stream(tiny_config, run_config):
    cfg = tiny_config(method='Supervised')
    cfg.train_cfg = dict(type='MultiStreamTrainLoop', max_epochs=2, epoch_stream='source', val_interval=1)
    cfg.train_dataloader.source.batch_size = 5
    cfg.param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]
    runner = run_config(cfg)
    assert runner.train_loop.epoch_length == 12 // 5 == 2
    assert runner.iter == runner.max_iters == 4 and runner.epoch == 2
    assert runner.train_loop.val_interval == 2
    assert runner.param_schedulers[0].total == 4


@pytest.mark.parametrize('train_cfg, match', [
    (dict(max_iters=1, max_epochs=1, epoch_stream='source'), 'max_iters or max_epochs'),
    (dict(), 'max_iters or max_epochs'),
    (dict(max_epochs=1, epoch_stream='labeled'), 'epoch_stream'),
    (dict(max_iters=1, accumulate=0), 'micro-batches'),
])
def test_bad_lengths(tiny_config, run_config, train_cfg, match):
    cfg = tiny_config()
    cfg.train_cfg = dict(type='MultiStreamTrainLoop', **train_cfg)
    with pytest.raises(ValueError, match=match):
        run_config(cfg)


def test_accumulation_reads_micro_batches_and_steps_once(tiny_config, run_config):
    cfg = tiny_config(max_iters=2, val_interval=100)
    cfg.train_cfg.accumulate = 3
    runner = run_config(cfg)
    steps = {int(s['step']) for s in runner.optim_wrapper.optimizer.state.values()}
    assert steps == {2} and runner.iter == 2
    assert runner._train_dataloader['batch_size'] == 6  # what auto_scale_lr counts


@pytest.mark.parametrize('begin, expected', [(1, [2, 4, 6, 7]), (4, [4, 6, 7]), (9, [])])
def test_first_validation_in_iterations(tiny_config, run_config, monkeypatch, begin, expected):
    cfg = tiny_config(method='Supervised', max_iters=7, val_interval=2)
    cfg.train_cfg.val_begin = begin
    assert validated(run_config, cfg, monkeypatch) == expected


def test_first_validation_in_epochs(tiny_config, run_config, monkeypatch):
    cfg = tiny_config(method='Supervised')
    cfg.train_cfg = dict(type='MultiStreamTrainLoop', max_epochs=3, epoch_stream='source', val_interval=1, val_begin=2)
    cfg.train_dataloader.source.batch_size = 6
    assert validated(run_config, cfg, monkeypatch) == [4, 6]  # epochs of two iterations


def validated(run_config, cfg, monkeypatch):
    found = []
    monkeypatch.setattr('mmseg_dg.engine.loops.multi_domain.MultiDomainValLoop.run',
                        lambda loop: found.append(loop.runner.iter))
    run_config(cfg)
    return found


def test_auto_scale_lr(tiny_config, run_config):
    cfg = tiny_config(max_iters=2, val_interval=100)
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=1)
    runner = run_config(cfg)
    assert {g['initial_lr'] for g in runner.optim_wrapper.optimizer.param_groups} == {2e-3, 2e-2}


@pytest.mark.ci
def test_auto_scale_lr_reaches_rates_that_a_schedule_names(tiny_config, run_config):
    cfg = tiny_config(method='DeFT', max_iters=2, val_interval=100)
    cfg.model.warmup_iters = 1
    cfg.optim_wrapper.constructor = 'ComponentParamGroups'
    cfg.optim_wrapper.paramwise_cfg = None
    cfg.param_scheduler = [dict(type='TwoStagePolyLR', warmup=dict(lr_mult=2.5))]
    cfg.custom_hooks = [dict(type='DecoderWarmupHook'), dict(type='EMAUpdateHook', beta=0.9)]
    rates = []
    for factor in (1, 2):
        cfg.work_dir = f'{cfg.work_dir}_{factor}'
        cfg.auto_scale_lr = dict(enable=factor != 1, base_batch_size=1)
        runner = run_config(cfg)
        scheduler, groups = runner.param_schedulers[0], runner.optim_wrapper.optimizer.param_groups
        rates.append([scheduler.value_at(group['initial_lr'], t, 'encoder') for t in (0, 1) for group in groups])
    assert rates[1] == pytest.approx([2 * rate for rate in rates[0]]) and min(rates[0]) > 0


@pytest.mark.ci
def test_runner_types_and_plain_runner_agree(tiny_config, run_config, tmp_path):
    run_config(tiny_config(work_dir='plain', max_iters=2))
    cfg = tiny_config(work_dir='uda', max_iters=2)
    cfg.runner_type = 'UDARunner'
    del cfg.train_cfg['type'], cfg.val_cfg['type']  # the runner installs the loops
    run_config(cfg)
    a, b = (torch.load(tmp_path / w / 'iter_2.pth')['state_dict'] for w in ('plain', 'uda'))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_streams_have_their_own_augmentation():
    assert stream_seed(0, 'source') != stream_seed(0, 'target') != stream_seed(1, 'target')


@pytest.mark.parametrize('error,text', [(FileNotFoundError('no list'), '^stream "source": no list$'),
                                        (UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'bad start'), 'bad start')])
def test_errors_of_a_stream_keep_their_type(tmp_path, error, text):
    def build(*args, **kwargs):
        raise error

    runner = SimpleNamespace(seed=0, work_dir=str(tmp_path), build_dataloader=build)
    with pytest.raises(type(error), match=text):
        build_streams(runner, dict(source=dict(dataset=dict(type='FolderDataset'))))


@pytest.mark.parametrize('counts', [(1, 1), (2, 0)])
def test_values_of_some_micro_batches_are_means_over_those(counts):
    """Losses enter the gradient divided by the micro-batches; what else is logged is a mean of what there was."""
    weight = torch.nn.Parameter(torch.ones(()))

    class Method(torch.nn.Module):
        recorder, state_type = StepRecorder(), StepState
        occurring = [value for part, count in enumerate(counts) for value in [part] * (count > 0)]

        def passes(self, batch, draws, state):
            seen = dict(share=torch.tensor(3. + batch)) if batch in self.occurring else {}
            return [Pass('one', lambda: PassResult(dict(loss_a=weight * (batch + 1)), seen))]

        def draw_step(self, batch, generator):
            return None

        def note_step(self, skipped):
            pass

    optim = OptimWrapper(torch.optim.SGD([weight], lr=1.))
    values = run_step(Method(), [0, 1], optim, context=StepContext(0, 0, 0), preprocess=False)
    assert float(values['loss']) == float(values['loss_a']) == 1.5 and float(weight) == 1 - 1.5
    assert float(values['share']) == (3.5 if counts == (1, 1) else 3.)


def test_merge_param_groups_fills_defaults():
    a, b, c = (torch.nn.Parameter(torch.zeros(1)) for _ in range(3))
    groups = [dict(params=[a], lr=1.0, lr_mult=2), dict(params=[b]), dict(params=[c], weight_decay=0.1)]
    merged = merge_param_groups(groups, dict(lr=1.0, weight_decay=0.1))
    assert len(merged) == 1 and len(merged[0]['params']) == 3


def rate_factor(iteration, total, warmup):
    """The warm-up multiplies the value that already decays, as in mmcv 1.3.7."""
    return poly_factor(iteration, total) * warmup_factor(iteration, warmup, 1e-6)


def test_reference_learning_rates():
    """docs/behavior/daformer_hrda.md#optimizer-and-schedule."""
    base = 6e-5
    rates = {0: 6.0e-11, 1: 4.0058958501e-8, 49: 1.957656969e-6, 750: 2.94375294375e-5, 1499: 5.7712999e-5,
             1500: 5.775e-5, 20000: 3e-5, 39999: 1.5e-9}
    for iteration, value in rates.items():
        assert base * rate_factor(iteration, 40000, 1500) == pytest.approx(value, rel=1e-7)


@pytest.mark.claim('DAFormer')
def test_learning_rates_of_mmcv(recorded):
    record = recorded('lr')
    for group, base in (('backbone', 6e-5), ('norm', 6e-5), ('head', 6e-4)):
        ours = [base * rate_factor(t, 40000, 1500) for t in record['iterations'].tolist()]
        np.testing.assert_allclose(ours, record[group].numpy(), rtol=1e-10, atol=0)


def test_schedule_through_the_runner(tiny_config, run_config):
    seen = []
    from mmengine.hooks import Hook

    class Watch(Hook):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seen.append([g['lr'] for g in runner.optim_wrapper.param_groups])

    cfg = tiny_config(max_iters=5, val_interval=100)
    runner = run_config(cfg, train=False)
    runner.register_hook(Watch())
    runner.train()
    for iteration, rates in enumerate(seen):
        factor = rate_factor(iteration, 5, 2)
        assert sorted(set(rates)) == pytest.approx(sorted({1e-3 * factor, 1e-2 * factor}), rel=1e-12)
    assert len(seen) == 5


def test_no_warmup_with_rising_minimum():
    """The official no-warm-up ablation: min_lr above the base rate makes the encoder's rate rise
    (docs/behavior/daformer_hrda.md#optimizer-and-schedule)."""
    from mmseg_dg.engine.optim import WarmupPolyLR
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=6e-5)
    scheduler = WarmupPolyLR(optimizer, min_lr=1e-4, total=40000)
    assert scheduler.value_at(6e-5, 0) == pytest.approx(6e-5)
    assert scheduler.value_at(6e-5, 20000) == pytest.approx(8e-5)
    assert scheduler.value_at(6e-4, 40000) == pytest.approx(1e-4)


@pytest.mark.parametrize('kwargs, match', [
    (dict(total=0), 'length of the schedule'),
    (dict(total=10, warmup_iters=11), 'longer than'),
])
def test_bad_schedules(kwargs, match):
    from mmseg_dg.engine.optim import WarmupPolyLR
    with pytest.raises(ValueError, match=match):
        WarmupPolyLR(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), **kwargs)


@pytest.mark.parametrize('custom, computed', [(None, [0, 2, 5, 6]), (
    [dict(data_src='source.decode.acc_seg', method_name='mean', window_size=5)], list(range(7)))])
def test_accuracy_is_computed_where_it_is_logged(tiny_config, run_config, monkeypatch, custom, computed):
    """Every third iteration here; the log shows the last value, so that it is the same."""
    cfg = tiny_config(method='Supervised', max_iters=7, val_interval=100)
    cfg.default_hooks.logger.interval = 3
    if custom:
        cfg.log_processor = dict(type='DomainLogProcessor', by_epoch=False, custom_cfg=custom)
    cfg.train_dataloader.source.batch_size = 1
    found = []
    before = BaseMethod.train_step

    def noted(self, *args, **kwargs):
        values = before(self, *args, **kwargs)
        found.append('source.decode.acc_seg' in values)
        return values

    monkeypatch.setattr(BaseMethod, 'train_step', noted)
    run_config(cfg)
    assert [i for i, there in enumerate(found) if there] == computed
