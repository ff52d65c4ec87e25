"""AdamW steps by one kernel where there is one: the same steps, to rounding, and the same checkpoints."""
import copy

import pytest
import torch
from torch import nn

from mmseg_dg.engine.optim import MergedParamGroups, fused
from mmseg_dg.engine.optim.fused import fused_option


def wrapper(model, **options):
    cfg = dict(type='OptimWrapper', optimizer=dict(dict(type='AdamW', lr=1e-2, weight_decay=0.1), **options))
    return MergedParamGroups(cfg, dict(norm_decay_mult=0.))(model)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2))


def train(model, optim, steps):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(5, 4, generator=generator)
        optim.zero_grad()
        model(x).square().sum().backward()
        optim.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def is_fused(optim):
    return {bool(group.get('fused')) for group in optim.optimizer.param_groups}


def test_fused_steps_are_the_same():
    results = []
    for options in ({}, dict(fused=False)):
        model = network()
        optim = wrapper(model, **options)
        assert is_fused(optim) == {not options} and len(optim.optimizer.param_groups) == 2
        results.append(train(model, optim, 20))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_checkpoints_continue_each_other():
    """A run that goes on where the kernel is missing, or where it is, goes on all the same."""
    for first, second in (({}, dict(fused=False)), (dict(fused=False), {})):
        model = network()
        optim = wrapper(model, **first)
        train(model, optim, 5)
        saved = copy.deepcopy(optim.state_dict()), copy.deepcopy(model.state_dict())
        whole = train(model, optim, 5)
        model.load_state_dict(saved[1])
        resumed = wrapper(model, **second)
        resumed.load_state_dict(saved[0])
        assert is_fused(resumed) == {not second}
        assert all(float(state['step']) == 5 for state in resumed.optimizer.state.values())
        torch.testing.assert_close(train(model, resumed, 5), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('options', [dict(foreach=True), dict(fused=False), dict(type='SGD')])
def test_what_a_config_chooses_stays(options):
    assert fused_option(dict(dict(type='AdamW', lr=1.), **options), network().parameters()) == {}


def test_without_a_kernel_nothing_is_asked_of_it(monkeypatch):
    class Old(torch.optim.AdamW):
        """Of a torch that has no kernel for this device."""
        def step(self, closure=None):
            if self.param_groups[0]['fused']:
                raise RuntimeError('`fused=True` requires all the params to be floating point Tensors of ...')

    monkeypatch.setattr(fused, '_FUSED', (Old, ))
    assert fused_option(dict(type=Old, lr=1.), network().parameters()) == {}
