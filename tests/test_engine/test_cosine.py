"""Cosine decay to zero as a closed form."""
import math

import pytest
import torch
from mmengine.logging import MessageHub

from mmseg_dg.engine.optim import WarmupCosineLR, cosine_factor


def optimizer(rates=(1e-3, 1e-2)):
    return torch.optim.SGD([dict(params=[torch.zeros(1, requires_grad=True)], lr=lr) for lr in rates], lr=1.)


def test_values():
    scheduler = WarmupCosineLR(optimizer(), total=100)
    assert scheduler.value_at(2., 0) == 2. and scheduler.value_at(2., 50) == pytest.approx(1.)
    assert scheduler.value_at(2., 25) == pytest.approx(1 + math.cos(math.pi / 4))
    assert scheduler.value_at(2., 100) == scheduler.value_at(2., 250) == 0.
    assert cosine_factor(99, 100) == pytest.approx(math.sin(math.pi / 200)**2)


def test_agrees_with_torch_without_warmup():
    """PyTorch's recursive scheduler as an independent one."""
    ours, theirs = optimizer(), optimizer()
    scheduler = WarmupCosineLR(ours, total=50, min_lr=1e-5)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 50, eta_min=1e-5)
    for _ in range(50):
        rates = [[group['lr'] for group in o.param_groups] for o in (ours, theirs)]
        assert rates[0] == pytest.approx(rates[1], rel=1e-9)
        for o in (ours, theirs):
            o.step()
        scheduler.step()
        reference.step()


def test_warmup_multiplies_the_decayed_rate():
    scheduler = WarmupCosineLR(optimizer(), total=100, warmup_iters=10, warmup_ratio=0.1)
    for t in range(12):
        warm = 0.1 + 0.9 * t / 10 if t < 10 else 1.
        assert scheduler.value_at(3., t) == pytest.approx(3 * cosine_factor(t, 100) * warm)


def test_length_comes_from_the_loop(monkeypatch):
    hub = MessageHub.get_instance('cosine')
    monkeypatch.setattr(MessageHub, 'get_current_instance', classmethod(lambda cls: hub))
    with pytest.raises(ValueError, match='WarmupCosineLR needs the length'):
        WarmupCosineLR(optimizer())
    hub.update_info('max_iters', 8)
    assert WarmupCosineLR(optimizer()).total == 8
    with pytest.raises(ValueError, match='warmup_iters=9'):
        WarmupCosineLR(optimizer(), warmup_iters=9)


def test_resumes_at_the_same_rate():
    first = optimizer()
    scheduler = WarmupCosineLR(first, total=20, warmup_iters=3)
    for _ in range(7):
        scheduler.step()
    second = optimizer()
    resumed = WarmupCosineLR(second, total=20, warmup_iters=3)
    resumed.load_state_dict(scheduler.state_dict())
    resumed.step()
    scheduler.step()
    assert [g['lr'] for g in second.param_groups] == [g['lr'] for g in first.param_groups]


@pytest.mark.parametrize('kind', ['WarmupPolyLR', 'WarmupCosineLR'])
def test_a_share_of_the_run_is_the_same_warmup(kind):
    from mmseg_dg.registry import PARAM_SCHEDULERS

    def build(total, **given):
        return PARAM_SCHEDULERS.build(dict(type=kind, optimizer=optimizer(), total=total, **given))

    for total, iterations in ((40000, 1500), (1000, 38), (10, 0)):  # 0.375 of an iteration is none
        ours, theirs = build(total, warmup_share=0.0375), build(total, warmup_iters=iterations)
        assert ours.warmup_iters == iterations
        assert [ours.value_at(1., t) for t in range(60)] == [theirs.value_at(1., t) for t in range(60)]
    for wrong in (dict(warmup_share=0.1, warmup_iters=5), dict(warmup_share=1.5), dict(warmup_share=-0.1)):
        with pytest.raises(ValueError, match='warmup_share'):
            build(100, **wrong)
