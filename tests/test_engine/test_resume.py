"""A run that stops and resumes ends bit-identical to one that does not."""
import copy
from pathlib import Path

import pytest
import torch

from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.checkpoint_reader import read_checkpoint


def flatten(prefix, value, out):
    if isinstance(value, dict):
        for k, v in value.items():
            flatten(f'{prefix}.{k}', v, out)
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            flatten(f'{prefix}.{i}', v, out)
    elif isinstance(value, torch.Tensor):
        out[prefix] = value
    elif isinstance(value, (int, float)):
        out[prefix] = torch.tensor(value)


def state_of(path):
    checkpoint = torch.load(path, map_location='cpu')
    out = {}
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        flatten(key, checkpoint[key], out)
    return out


def assert_identical(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.ci)])
def test_resumed_run_is_bit_identical(tiny_config, run_config, tmp_path, workers):
    whole = tiny_config(work_dir='whole', max_iters=6, num_workers=workers)
    run_config(copy.deepcopy(whole))
    part = tiny_config(work_dir='part', max_iters=6, num_workers=0)
    part.train_cfg.max_iters = 6
    run_config(_stopping_after(copy.deepcopy(part), 2))
    assert not (tmp_path / 'part' / 'iter_4.pth').exists()
    part.resume = True
    runner = run_config(part)
    assert runner.iter == 6
    a, b = state_of(tmp_path / 'whole' / 'iter_6.pth'), state_of(tmp_path / 'part' / 'iter_6.pth')
    assert int(a['state_dict.teacher.steps']) == 6
    assert_identical(a, b)


@pytest.mark.ci
def test_a_prolonged_run_follows_the_new_schedule_from_its_first_iteration(tiny_config, run_config, tmp_path):
    """The checkpoint of a finished run has rate 0; so had the first iteration after it."""
    run_config(tiny_config('Supervised', work_dir='run', max_iters=2))
    longer = tiny_config('Supervised', work_dir='run', max_iters=4)
    longer.resume = True
    seen = []
    from mmengine.hooks import Hook

    from mmseg_dg.registry import HOOKS

    @HOOKS.register_module(force=True)
    class NoteRates(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seen.append([group['lr'] for group in runner.optim_wrapper.param_groups])

    longer.custom_hooks.append(dict(type='NoteRates'))
    runner = run_config(longer)
    schedule = runner.param_schedulers[0]
    assert seen == [[schedule.value_at(base, t) for base in schedule.base_values] for t in (2, 3)]
    assert seen[0][0] == pytest.approx(1e-3 * 0.5) or seen[0][0] == pytest.approx(1e-2 * 0.5)


def _stopping_after(cfg, iterations):
    """The same run (same schedule length) that stops early."""
    cfg.custom_hooks.append(dict(type='StopAfter', iterations=iterations))
    from mmengine.hooks import Hook

    from mmseg_dg.registry import HOOKS

    @HOOKS.register_module(force=True)
    class StopAfter(Hook):

        def __init__(self, iterations):
            self.iterations = iterations

        def after_iteration(self, runner):
            runner.train_loop.stop_training = runner.iter >= self.iterations

    return cfg


@pytest.mark.ci
def test_validation_does_not_change_training(tiny_config, run_config, tmp_path):
    run_config(tiny_config(work_dir='often', max_iters=4, val_interval=1))
    run_config(tiny_config(work_dir='never', max_iters=4, val_interval=100))
    assert_identical(state_of(tmp_path / 'often' / 'iter_4.pth'), state_of(tmp_path / 'never' / 'iter_4.pth'))


def test_checkpoint_holds_the_validation_of_its_iteration(tiny_config, run_config, tmp_path):
    cfg = tiny_config(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.save_best = 'target/mIoU'
    run_config(cfg)
    hub = read_checkpoint(tmp_path / 'run' / 'iter_2.pth')['message_hub']
    assert 'val/target/mIoU' in hub['log_scalars']
    assert 'best_score' in hub['runtime_info']
    assert list((tmp_path / 'run').glob('best_target_mIoU_iter_2.pth'))


def test_context_separates_purposes_ranks_and_iterations():
    base = StepContext(seed=1, rank=0, iteration=5)
    seeds = {base.derive('draws'), base.derive('passes'), StepContext(1, 1, 5).derive('draws'),
             StepContext(1, 0, 6).derive('draws'), StepContext(2, 0, 5).derive('draws')}
    assert len(seeds) == 5
    assert base.derive('draws') == StepContext(1, 0, 5).derive('draws')


@pytest.mark.parametrize('key', ['nowhere/mIoU', 'target/mIou', 'mean/aAcc', 'target/IoU.bus'])
def test_save_best_key_is_checked_before_training(tiny_config, run_config, key):
    cfg = tiny_config(max_iters=2)
    cfg.default_hooks.checkpoint.save_best = key
    with pytest.raises(ValueError, match='is not a metric of this run'):
        run_config(cfg)


def test_load_from_and_test_a_checkpoint(tiny_config, run_config, tmp_path):
    run_config(tiny_config(max_iters=2))
    cfg = tiny_config(work_dir='test')
    cfg.load_from = str(tmp_path / 'run' / 'iter_2.pth')
    metrics = run_config(cfg, train=False).test()
    scalars = read_checkpoint(tmp_path / 'run' / 'iter_2.pth')['message_hub']['log_scalars']
    assert metrics['target/mIoU'] == pytest.approx(float(scalars['val/target/mIoU'].current()), abs=1e-9)


def test_outdated_checkpoints_go_after_the_new_one_is_in_place(tiny_config, run_config, tmp_path):
    cfg = tiny_config(max_iters=4, val_interval=100)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    run_config(cfg)
    assert sorted(p.name for p in (tmp_path / 'run').glob('*.pth*')) == ['iter_4.pth']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('iter_4.pth')


@pytest.mark.ci
@pytest.mark.parametrize('variant', ['rare classes, accumulation, bf16', 'after the step, averaged buffers'])
def test_resume_of_other_settings(tiny_config, run_config, tmp_path, variant):

    def config(work_dir):
        cfg = tiny_config(work_dir=work_dir, max_iters=4, val_interval=2)
        cfg.default_hooks.checkpoint.interval = 1
        if variant.startswith('rare'):
            cfg.train_dataloader.source.sampler = dict(type='RareClassSampler', min_pixels=10,
                                                       class_statistics=dict(cache_dir=str(tmp_path)))
            cfg.train_cfg.accumulate = 2
            cfg.optim_wrapper.type = 'BF16OptimWrapper'
        else:
            cfg.custom_hooks = [dict(type='EMAUpdateHook', beta=0.9, when='after_step', buffers='average')]
        return cfg

    run_config(config('whole'))
    run_config(_stopping_after(config('part'), 3))
    cfg = config('part')
    cfg.resume = True
    run_config(cfg)
    assert_identical(state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'part' / 'iter_4.pth'))


@pytest.mark.ci
def test_resume_with_every_pass_of_self_training(tiny_config, run_config, tmp_path):
    """Masked pass, mirrored pseudo-labels, few target labels, and a distance in a projection that is learned."""
    encoder = dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4)
    torch.save(MODELS.build(encoder).state_dict(), tmp_path / 'encoder.pth')
    encoder['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'encoder.pth'))

    def config(work_dir):
        cfg = tiny_config(work_dir=work_dir, max_iters=4, val_interval=2, masked=dict(block_size=16),
                          pseudo_label_tta=('flip', ), target_labeled_stream='target_labeled', pseudo_threshold=0.,
                          feature_distance=dict(type='ProjectedFeatureDistance', encoder=encoder, in_channels=8,
                                                out_channels=8, size=32))
        # there are two folders: the labeled streams share one, the unlabeled stream has the other
        cfg.train_dataloader['target_labeled'] = copy.deepcopy(cfg.train_dataloader.source)
        cfg.runner_type = 'UDARunner'
        return cfg

    whole = run_config(config('whole'))
    run_config(_stopping_after(config('part'), 2))
    cfg = config('part')
    cfg.resume = True
    run_config(cfg)
    a, b = state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'part' / 'iter_4.pth')
    assert_identical(a, b)
    assert any('projected_distance.projection' in key for key in a)
    names = {k.split('/')[1].split('.')[0] for k in whole.message_hub.log_scalars if '.loss' in k or '.decode' in k}
    assert {'source', 'mix', 'masked', 'target', 'target_labeled'} <= names


@pytest.mark.parametrize('schedules', [None, [], [1], [1, 2]])
def test_weights_alone_move_the_schedules_there_are(schedules):
    """None: a run without schedules. Those that are no closed forms are stepped once per iteration done."""
    from types import SimpleNamespace

    from mmseg_dg.engine.hooks.resuming import finish_weights_only
    steps = []
    given = None if schedules is None else [SimpleNamespace(step=lambda n=n: steps.append(n)) for n in schedules]
    finish_weights_only(SimpleNamespace(iter=3, param_schedulers=given))
    assert steps == [n for n in schedules or () for _ in range(3)]


def test_going_on_under_other_settings_is_said(tiny_config, run_config, tmp_path):
    """Not what a start decides (folder, resume), and nothing where nothing changed."""

    def log(**changes):
        cfg = tiny_config('Supervised', work_dir='part')
        cfg.resume = True
        cfg.merge_from_dict(changes)
        runner = run_config(cfg)
        return Path(runner.log_dir, f'{runner.timestamp}.log').read_text()

    cfg = tiny_config('Supervised', work_dir='part')
    run_config(_stopping_after(cfg, 2))
    said = log(**{'optim_wrapper.optimizer.lr': 0.07, 'train_cfg.max_iters': 3})
    line = next(line for line in said.splitlines() if 'resumed under other settings' in line)
    assert '+lr=0.07' in line.replace(' ', '') and '+max_iters=3' in line and 'work_dir' not in line


@pytest.mark.parametrize('by_optimizer', [False, True])
def test_a_stock_schedule_that_keeps_its_old_length_is_named(by_optimizer):
    """mmengine restores it with its settings; those that only count iterations may differ."""
    from types import SimpleNamespace

    from mmengine.optim import MultiStepLR, PolyLR

    from mmseg_dg.engine.hooks.resuming import report_kept_schedules

    def schedules(end, rate=0.1):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)
        return [PolyLR(optimizer, power=0.9, end=end, by_epoch=False), MultiStepLR(optimizer, [3], by_epoch=False)]

    def warnings(end, rate=0.1):
        said, states = [], [schedule.state_dict() for schedule in finished]
        now = schedules(end, rate)
        runner = SimpleNamespace(logger=SimpleNamespace(warning=said.append),
                                 param_schedulers=dict(a=now) if by_optimizer else now)
        report_kept_schedules(runner, dict(a=states) if by_optimizer else states)
        return said

    finished = schedules(2)
    for schedule in finished:
        schedule.optimizer.step()
        schedule.step()
    assert warnings(2) == []
    longer, = warnings(4)
    assert longer.startswith('PolyLR goes on') and 'end=2, not 4' in longer and 'total_iters=1, not 3' in longer
    assert [line.split()[0] for line in warnings(2, rate=0.2)] == ['PolyLR', 'MultiStepLR']


def test_changed_lines():
    from mmseg_dg.engine.hooks.resuming import changed_lines
    before = "a = 1\nmodel = dict(\n    type='A',\n    size=3)\nresume = False\nwork_dir = 'x'\n"
    now = "model = dict(\n    type='A',\n    size=4)\na = 1\nresume = True\nwork_dir = 'y'\n"
    assert changed_lines(before, now) == ['-size=3)', '+size=4)']
    assert changed_lines(now, now) == changed_lines(None, now) == []
