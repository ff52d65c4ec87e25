"""Steps that are not finite: named, left out, never learned from, averaged or saved."""
import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_dg.methods.finite import FiniteWatch, NonFiniteError, finite_flag
from mmseg_dg.methods.step import Pass, PassResult, StepContext, StepRecorder, StepState, run_step
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.methods.tensor_list import TensorList
from mmseg_dg.utils.checkpoint_reader import read_checkpoint

from .test_resume import _stopping_after, assert_identical, state_of

NAN, INF = float('nan'), float('inf')


class Toy(nn.Module):
    """Two passes, a normalization with running statistics, and what a test wants to go wrong."""
    state_type = StepState

    def __init__(self, lr=0.1, momentum=0.9):
        super().__init__()
        self.recorder = StepRecorder()
        self.layer, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)
        self.register_buffer('step_skipped', torch.zeros((), dtype=torch.uint8))
        self.factor = dict(labeled=1., mix=1.)
        self.wrapper = OptimWrapper(torch.optim.SGD(self.parameters(), lr=lr, momentum=momentum))

    def draw_step(self, batch, generator):
        return None

    def passes(self, batch, draws, state):
        images = batch['source']['inputs']

        def one(name):
            out = self.norm(self.layer(images)).square().mean()
            return PassResult({f'{name}.loss_ce': out * self.factor[name]}, {f'{name}.share': torch.tensor(NAN)})

        return [Pass(name, lambda name=name: one(name)) for name in self.factor]

    def note_step(self, skipped):
        self.step_skipped.copy_(torch.as_tensor(skipped))

    def step(self, iteration, watch=None, images=None):
        torch.manual_seed(iteration)
        images = torch.randn(4, 3) if images is None else images
        self.train()
        return run_step(self, {'source': dict(inputs=images)}, self.wrapper, context=StepContext(0, 0, iteration),
                        preprocess=False, watch=watch)


def copied(method):
    """Values of everything a step may change."""
    state = {k: v.clone() for k, v in method.state_dict().items() if k != 'step_skipped'}
    momenta = method.wrapper.optimizer.state_dict()['state']
    return {**state, **{f'{k}.{name}': v.clone() for k, values in momenta.items() for name, v in values.items()}}


def assert_same(a, b):
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize('name', ['labeled', 'mix'])
@pytest.mark.parametrize('value', [NAN, INF])
def test_the_pass_and_the_term_are_named_and_nothing_moves(name, value):
    toy = Toy()
    toy.step(0)
    before = copied(toy)
    toy.factor[name] = value
    with pytest.raises(NonFiniteError, match=rf"iteration 2 is not finite.*\n.*pass '{name}': {name}.loss_ce is "):
        toy.step(1)
    assert_same(before, copied(toy))


def test_gradients_alone_and_images():
    toy = Toy()
    toy.step(0)
    before = copied(toy)
    handle = toy.layer.weight.register_hook(lambda grad: grad * NAN)
    with pytest.raises(NonFiniteError, match=r"pass 'labeled': its gradients are not finite: 1 tensors, first layer"):
        toy.step(1)
    handle.remove()
    images = torch.zeros(4, 3)
    images[2, 1] = NAN
    with pytest.raises(NonFiniteError, match=r'stream "source": the image #2 has NaN or infinite values'):
        toy.step(1, images=images)
    assert_same(before, copied(toy))


def test_a_buffer_that_was_replaced_is_found_by_an_earlier_list():
    norm = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    listed = TensorList.of(norm)
    norm[1].running_mean = torch.ones(2)
    assert [id(b) for b in listed.buffers()] == [id(b) for b in norm.buffers()]
    assert [n for n, _ in listed.parameters] == [n for n, _ in norm.named_parameters()] and not listed.on_gpu


def test_a_step_that_leaves_infinite_parameters_is_found_in_the_same_iteration():
    toy = Toy(lr=1e37)
    toy.factor['mix'] = 1e6
    with pytest.raises(NonFiniteError, match='the step makes .* parameters NaN or infinite.*the learning rate is too'):
        toy.step(0, FiniteWatch('skip'))


@pytest.mark.parametrize('optimizer', [partial(torch.optim.SGD, lr=0.1, momentum=0.9), torch.optim.AdamW])
@pytest.mark.parametrize('deferred', [False, True])
def test_skipped_steps_leave_no_trace(deferred, optimizer):
    """Bad steps between good ones: the result is that of the good ones alone."""
    good = Toy()
    mixed = copy.deepcopy(good)
    for toy in (good, mixed):  # a fused optimizer leaves a step out by itself, which a GPU needs for a flag it keeps
        toy.wrapper = OptimWrapper(optimizer(toy.parameters(), fused=deferred))
    watch = FiniteWatch('skip', in_a_row=2, deferred=deferred)
    told = []
    watch.report = told.append
    for iteration in range(6):
        mixed.factor['mix'] = NAN if iteration in (1, 4) else 1.
        values = mixed.step(iteration, watch)
        assert bool(mixed.step_skipped) == (iteration in (1, 4))
        if iteration not in (1, 4):
            good.step(iteration)
        elif not deferred:
            assert 'loss' not in values and 'labeled.loss_ce' in values
    assert watch.waiting == (6 if deferred else 0)
    watch.read()
    assert (watch.skipped, watch.current, len(told)) == (2, 0, 2) and 'mix.loss_ce is nan' in told[0]
    assert_same(copied(good), copied(mixed))
    mixed.factor['mix'] = NAN
    with pytest.raises(NonFiniteError, match='2 iterations in a row were not finite'):
        for iteration in range(6, 8):
            mixed.step(iteration, watch)
        watch.read()


def test_stop_on_a_gpu_freezes_until_the_host_reads():
    toy = Toy(momentum=0)
    watch = FiniteWatch('stop', deferred=True)
    toy.step(0, watch)
    before = [p.detach().clone() for p in toy.parameters()]
    toy.factor['mix'] = NAN
    toy.step(1, watch)
    toy.factor['mix'] = 1.
    toy.step(2, watch)
    assert all(torch.equal(a, b) for a, b in zip(before, toy.parameters())) and bool(toy.step_skipped)
    with pytest.raises(NonFiniteError, match=r"iteration 2 is not finite"):
        watch.read()


@pytest.mark.parametrize('options', [dict(ramp=True), dict(ramp=False), dict(ramp=False, debias=True)])
@pytest.mark.parametrize('buffers', ['batch', 'average', 'copy'])
def test_an_average_gated_on_the_device_is_the_same_average(options, buffers):
    torch.manual_seed(0)
    student = Toy()
    plain, gated = (EMATeacher(student, beta=0.9, buffers=buffers, **options) for _ in range(2))
    for _ in range(5):
        with torch.no_grad():
            [p.add_(torch.randn_like(p)) for p in student.parameters()]
            student.norm.running_mean.normal_()
        plain.update_parameters(student)
        gated.update_parameters(student, unless=torch.tensor(0, dtype=torch.uint8))
        broken = copy.deepcopy(student)
        with torch.no_grad():
            [x.fill_(INF) for x in [*broken.parameters(), broken.norm.running_mean]]
        gated.update_parameters(broken, unless=torch.tensor(1, dtype=torch.uint8))
    assert int(plain.steps) == int(gated.steps) == 5
    for (name, a), b in zip(plain.state_dict().items(), gated.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize('values, good', [([1., 2.], True), ([1e18], True), ([NAN], False), ([INF], False),
                                          ([1e20, 1.], False)])
def test_flag(values, good):
    parts = [torch.tensor([v], dtype=dtype) for v in values for dtype in (torch.float32, torch.float64)]
    assert bool(finite_flag([*parts, torch.zeros(0), torch.zeros(2, dtype=torch.int64)])) is good
    assert bool(finite_flag([]))
    assert bool(finite_flag([torch.full((100, ), 6e4, dtype=torch.float16)])), 'its square is no float16'


@pytest.mark.parametrize('arguments', [dict(action='ignore'), dict(in_a_row=0)])
def test_arguments(arguments):
    with pytest.raises(ValueError, match='on_nonfinite|max_nonfinite_in_a_row'):
        FiniteWatch(**arguments)


# ---------------------------------------------------------------- through the loop
def breaking(cfg, at, value=NAN):
    """The run with a NaN in the images of the unlabeled stream at given iterations."""
    from mmengine.hooks import Hook

    from mmseg_dg.registry import HOOKS

    @HOOKS.register_module(force=True)
    class Break(Hook):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if batch_idx in at:
                images = data_batch['target']['inputs']
                images[0] = images[0].float()
                images[0][0, 5, 5] = value

    cfg.custom_hooks.append(dict(type='Break'))
    return cfg


@pytest.mark.ci
def test_stop_names_the_files_and_earlier_checkpoints_go_on(tiny_config, run_config, tmp_path):
    whole = run_config(tiny_config(work_dir='whole', max_iters=4))
    with pytest.raises(NonFiniteError) as found:  # iteration 4 is also one of validation and checkpoint
        run_config(breaking(tiny_config(max_iters=4), at=(3, )))
    text, sampler = str(found.value), whole.train_loop.dataloader['target'].sampler
    request = sampler.request(6)
    path = whole.train_loop.dataloader['target'].dataset.dataset.get_data_info(request.index)['img_path']
    assert text.startswith('iteration 4 is not finite') and f'the image {path} has NaN' in text
    assert f'batch of "target": {path} (draw 6)' in text and '--iteration 3 --seed 7' in text and '--resume' in text
    assert {p.name for p in (tmp_path / 'run').glob('*.pth')} == {'iter_2.pth'}
    cfg = tiny_config(max_iters=4)
    cfg.resume = True
    run_config(cfg)
    assert_identical(state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'run' / 'iter_4.pth'))


@pytest.mark.ci
def test_a_huge_rate_stops_the_run(tiny_config, run_config, tmp_path):
    """lhoyer/DAFormer#22: the loss becomes NaN, and nothing is learned or kept from then on."""
    cfg = tiny_config(max_iters=8, val_interval=8)
    cfg.optim_wrapper.optimizer.lr = 1e20
    cfg.default_hooks.checkpoint.interval = 1
    with pytest.raises(NonFiniteError, match='is not finite'):
        run_config(cfg)
    for path in (tmp_path / 'run').glob('*.pth'):
        assert all(torch.isfinite(v).all() for v in state_of(path).values())


@pytest.mark.ci
def test_skipping_runs_resume_bit_identically(tiny_config, run_config, tmp_path):

    def config(name):
        cfg = breaking(tiny_config(work_dir=name, max_iters=6), at=(1, 4))
        cfg.train_cfg.on_nonfinite = 'skip'
        return cfg

    whole = run_config(config('whole'))
    assert whole.train_loop.finite.watch.skipped == 2 and int(whole.model.teacher.steps) == 4
    run_config(_stopping_after(config('part'), 2))
    cfg = config('part')
    cfg.resume = True
    assert run_config(cfg).train_loop.finite.watch.skipped == 2
    a, b = (tmp_path / name / 'iter_6.pth' for name in ('whole', 'part'))
    assert_identical(state_of(a), state_of(b))
    a, b = (read_checkpoint(path)['message_hub'] for path in (a, b))
    assert a['runtime_info']['nonfinite_steps'] == b['runtime_info']['nonfinite_steps'] == [2, 0]
    loss = whole.message_hub.log_scalars['train/loss']
    assert np.isfinite(loss._log_history).all() and len(loss._log_history) == 4


def test_a_state_that_is_not_finite_is_neither_judged_saved_nor_loaded(tiny_config, run_config, tmp_path):
    cfg = tiny_config(method='Supervised', max_iters=2, val_interval=2)
    runner = run_config(cfg)
    path = tmp_path / 'run' / 'iter_2.pth'
    checkpoint = torch.load(path)
    key = 'student.backbone.layers.0.0.projection.weight'
    with torch.no_grad():
        runner.model.student.backbone.layers[0][0].projection.weight[0, 0, 0, 0] = NAN
    with pytest.raises(NonFiniteError, match=f'is not written.*state_dict.{key}: 1 of'):
        runner.save_checkpoint(str(tmp_path), 'bad.pth')
    assert not (tmp_path / 'bad.pth').exists()
    with pytest.raises(NonFiniteError, match=f'the state is not finite: model.{key}'):
        runner.train_loop.finite._check_state(2)
    checkpoint['state_dict'][key][0] = INF
    torch.save(checkpoint, path)
    for change in (dict(resume=True), dict(load_from=str(path))):
        cfg = tiny_config(method='Supervised', max_iters=4, work_dir='run' if 'resume' in change else 'other')
        cfg.update(change)
        with pytest.raises(ValueError, match=rf'{path}.*NaN or infinite.*{key}'):
            run_config(cfg)
    cfg = tiny_config(method='Supervised')
    cfg.load_from = str(path)
    with pytest.raises(ValueError, match=rf'{path}.*{key}'):
        run_config(cfg, train=False).test()
    from mmseg_dg.apis import load_model
    with pytest.raises(ValueError, match=rf'{path}.*{key}'):
        load_model(cfg, str(path))
    assert Path(path).is_file()
