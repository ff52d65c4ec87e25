"""Rate and weight decay of every group at every iteration of both stages."""
import copy

import numpy as np
import pytest
import torch
from torch import nn

from mmseg_dg.engine.optim import (
    ComponentParamGroups,
    TwoStagePolyLR,
    WarmupPolyLR,
    encoder_modules,
    schedule_lines,
)

PAPER = dict(warmup=dict(lr_mult=1., decay_mult=10.))  # of 1e-2 and 5e-4


class Network(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.neck = nn.Conv2d(4, 4, 1)
        self.decode_head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def wrapper(paramwise=None, lr=1e-2, weight_decay=5e-4, model=None):
    build = ComponentParamGroups(dict(type='OptimWrapper', optimizer=dict(
        type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay)), paramwise)
    return build(model or Network())


def specified(t, warmup, total, denominator, first=1e-2, second=1e-2):
    if t < warmup:
        return first * (1 - t / denominator)**0.9
    return second * (1 - (t - warmup) / (total - warmup))**0.9


@pytest.mark.filterwarnings('ignore:Detected call of `scheduler.step')
@pytest.mark.parametrize('denominator, length', [('warmup', 80), ('finetune', 400), (1000, 1000)])
def test_every_iteration_of_every_group(denominator, length):
    """The paper (as we read it) and released variant, at one hundredth of GTA's 8K + 40K."""
    total, warmup = 480, 80
    optim = wrapper()
    settings = copy.deepcopy(PAPER)
    settings['warmup']['denominator'] = denominator
    scheduler = TwoStagePolyLR(optim, warmup_iters=warmup, total=total, **settings)
    groups = optim.optimizer.param_groups
    assert [g['component'] for g in groups] == ['encoder', 'decoder'], 'equal options, but apart'
    rates, decays = np.empty((total, 2)), np.empty((total, 2))
    for t in range(total):
        rates[t] = [g['lr'] for g in groups]
        decays[t] = [g['weight_decay'] for g in groups]
        scheduler.step()
    expected = [specified(t, warmup, total, length) for t in range(total)]
    for column in range(2):
        np.testing.assert_allclose(rates[:, column], expected, rtol=1e-12, atol=1e-22)
        assert np.all(decays[:warmup, column] == 5e-3) and np.all(decays[warmup:, column] == 5e-4)
    assert rates[warmup, 0] == 1e-2, 'the schedule restarts'


@pytest.mark.filterwarnings('ignore:Detected call of `scheduler.step')
def test_components_and_factors_of_groups():
    """Encoder and decoder values apart; factors of paramwise_cfg and of a scaled rate stay in both stages."""
    optim = wrapper(dict(norm_decay_mult=0., custom_keys={'neck': dict(lr_mult=0.1)}))
    for group in optim.optimizer.param_groups:  # what mmengine's auto_scale_lr does
        group['lr'] *= 2
    scheduler = TwoStagePolyLR(
        optim, warmup_iters=2, total=6, warmup=dict(decay_mult=dict(encoder=0.2, decoder=10.)),
        finetune=dict(lr_mult=dict(encoder=0.1, decoder=0.4)))
    seen = {}
    for t in range(6):
        for group in optim.optimizer.param_groups:
            seen[t, group['component'], group['initial_lr'], group['initial_weight_decay']] = (
                group['lr'], group['weight_decay'])
        scheduler.step()
    lr, decay = 2e-2, 5e-4
    assert len(seen) == 6 * 5, 'encoder: neck, norm, rest; decoder: norm, rest'
    for t, base, warm in ((0, 1., 1e-2), (1, 0.5**0.9, 1e-2)):
        assert seen[t, 'encoder', lr, decay] == pytest.approx((2 * warm * base, 1e-4))
        assert seen[t, 'encoder', lr, 0.] == pytest.approx((2 * warm * base, 0.))
        assert seen[t, 'encoder', 0.1 * lr, decay] == pytest.approx((0.2 * warm * base, 1e-4))
        assert seen[t, 'decoder', lr, decay] == pytest.approx((2 * warm * base, 5e-3))
    for t in range(2, 6):
        factor = (1 - (t - 2) / 4)**0.9
        assert seen[t, 'encoder', lr, decay] == pytest.approx((2e-3 * factor, 5e-4))
        assert seen[t, 'encoder', 0.1 * lr, decay] == pytest.approx((2e-4 * factor, 5e-4))
        assert seen[t, 'decoder', lr, decay] == pytest.approx((8e-3 * factor, 5e-4))
        assert seen[t, 'decoder', lr, 0.] == pytest.approx((8e-3 * factor, 0.))


def test_the_optimizer_has_the_last_word():
    """What a user writes as rate and decay is what both stages are multiples of."""
    for lr, decay in ((1e-2, 5e-4), (1e-3, 5e-4), (1e-2, 1e-3)):
        optim = wrapper(lr=lr, weight_decay=decay)
        scheduler = TwoStagePolyLR(optim, warmup_iters=2, total=6, **PAPER)
        assert scheduler.group_at(0, 0) == pytest.approx((lr, 10 * decay))
        assert scheduler.group_at(1, 2) == pytest.approx((lr, decay))
        assert optim.get_lr()['base_lr' if 'base_lr' in optim.get_lr() else 'lr'][0] == pytest.approx(lr)


def test_start_of_the_log():
    optim = wrapper(dict(norm_decay_mult=0.))
    scheduler = TwoStagePolyLR(optim, total=480, warmup=dict(decay_mult=10., denominator='finetune'))
    scheduler.bind_warmup(80)
    lines = schedule_lines(optim.optimizer, [scheduler])
    assert len(lines) == 2 * len(optim.optimizer.param_groups)
    assert lines[0] == ('decoder warm-up, iterations 0 to 79, group 0 encoder (4 tensors) (frozen): lr 0.01 to '
                        '0.0082, weight decay 0.005')
    assert lines[-2].startswith('finetuning, iterations 80 to 479, group 2 decoder') and '0.0005' in lines[-2]
    poly = WarmupPolyLR(wrapper(lr=1e-3), total=10, warmup_iters=2)
    assert schedule_lines(poly.optimizer, [poly])[0] == (
        'warm-up, iterations 0 to 1, group 0 encoder (6 tensors): lr 1e-09 to 0.00045, weight decay 0.0005')
    assert schedule_lines(optim.optimizer, None)[0].endswith('weight decay 0.005')


@pytest.mark.filterwarnings('ignore:Detected call of `scheduler.step')
@pytest.mark.parametrize('stop', [3, 5, 8])
def test_resume(stop):
    optim = wrapper()
    scheduler = TwoStagePolyLR(optim, warmup_iters=5, total=12, **PAPER)
    for _ in range(stop):
        scheduler.step()
    other = wrapper()
    resumed = TwoStagePolyLR(other, warmup_iters=5, total=12, **PAPER)
    other.load_state_dict(copy.deepcopy(optim.state_dict()))
    resumed.load_state_dict(scheduler.state_dict())
    for _ in range(12 - stop):
        for a, b in zip(optim.param_groups, other.param_groups):
            assert (a['lr'], a['weight_decay']) == (b['lr'], b['weight_decay'])
        scheduler.step()
        resumed.step()


def test_length_given_by_the_hook():
    optim = wrapper()
    scheduler = TwoStagePolyLR(optim, total=10, warmup=dict(lr_mult=10), finetune=dict(lr_mult=20))
    assert optim.param_groups[0]['lr'] == 0.2
    scheduler.bind_warmup(4)
    assert optim.param_groups[0]['lr'] == 0.1
    assert scheduler.value_at(1e-2, 3) == pytest.approx(0.1 * 0.25**0.9)
    assert scheduler.value_at(1e-2, 4) == 0.2
    fixed = TwoStagePolyLR(wrapper(), warmup_iters=3, total=10)
    with pytest.raises(ValueError, match='restarts after 3 iterations, but the decoder warm-up lasts 4'):
        fixed.bind_warmup(4)


@pytest.mark.parametrize('warmup', [0, 10])
def test_degenerate_lengths(warmup):
    """No warm-up, and nothing but warm-up."""
    optim = wrapper()
    scheduler = TwoStagePolyLR(optim, warmup_iters=warmup, total=10, **PAPER)
    assert [scheduler.value_at(1e-2, t) for t in range(10)] == pytest.approx(
        [1e-2 * (1 - t / 10)**0.9 for t in range(10)])
    assert optim.param_groups[0]['weight_decay'] == (5e-3 if warmup else 5e-4)


@pytest.mark.parametrize('arguments, match', [
    (dict(warmup_iters=11), 'between 0 and the length of the run, 10'),
    (dict(warmup_iters=-1), 'warmup_iters=-1'),
    (dict(total=0), 'needs the length'),
    (dict(warmup=dict(learning_rate=1)), r"warmup has no \['learning_rate'\]"),
    (dict(finetune=dict(denominator='warmup')), r"finetune has no \['denominator'\]"),
    (dict(warmup=dict(denominator='both')), 'denominator must be'),
    (dict(warmup=dict(denominator=0)), 'denominator must be'),
    (dict(warmup=dict(lr_mult=dict(encoder=1.))), r'warmup.lr_mult needs the keys'),
    (dict(finetune=dict(decay_mult=-1.)), 'not negative'), (dict(finetune=dict(decay_mult='x')), 'a number'),
    (dict(warmup=dict(lr=1e-2)), r'warmup.lr=0.01 would override .*warmup=dict\(lr_mult=...\)'),
    (dict(finetune=dict(weight_decay=5e-4)), r'finetune.weight_decay=0.0005 would override .*decay_mult'),
])
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        TwoStagePolyLR(wrapper(), **dict(dict(warmup_iters=2, total=10), **arguments))


def test_values_per_component_need_named_groups():
    optimizer = torch.optim.SGD(Network().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="constructor='ComponentParamGroups'"):
        TwoStagePolyLR(optimizer, warmup_iters=0, total=10, finetune=dict(lr_mult=dict(encoder=1., decoder=2.)))


def test_components_of_a_method():

    class Method(nn.Module):

        def __init__(self):
            super().__init__()
            self.student = Network()
            self.extra = nn.Linear(2, 2)

    method = Method()
    assert encoder_modules(method) == [method.student.backbone, method.student.neck]
    assert encoder_modules(method.student) == [method.student.backbone, method.student.neck]
    assert encoder_modules(nn.Linear(1, 1)) == []
    groups = {g['component']: {id(p) for p in g['params']} for g in wrapper(model=method).optimizer.param_groups}
    assert groups['decoder'] == {id(p) for m in (method.student.decode_head, method.extra) for p in m.parameters()}
