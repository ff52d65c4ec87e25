"""``train_cfg.compile`` and activation checkpointing: the same losses, and a clear word where they cannot run."""
import shutil

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.engine.compiling import compile_networks, why_not
from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import MODELS

CPU = torch.device('cpu')


def batch_of(model):
    batch = {}
    for stream in model.streams:
        samples = [SegDataSample() for _ in range(2)]
        for sample in samples:
            sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 64, 64)))
        batch[stream] = dict(inputs=torch.randn(2, 3, 64, 64), data_samples=samples)
    return batch


def losses(cfg, options, steps=2):
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    names = list(model.state_dict())
    count = compile_networks(model, options)
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-2))
    torch.manual_seed(1)
    batch = batch_of(model)
    found = [model.train_step(batch, optim, context=StepContext(0, iteration=i), preprocess=False)
             for i in range(steps)]
    assert list(model.state_dict()) == names
    return count, found


@pytest.mark.ci
@pytest.mark.parametrize('method', ['DACS', 'DeFT'])
@pytest.mark.parametrize('backend', ['aot_eager', 'inductor'])
def test_losses_are_equal(tiny_config, backend, method):
    """Dropout and drop path included: the compiler draws the same numbers."""
    reason = why_not(dict(backend=backend), CPU)
    if reason:
        pytest.skip(reason)
    torch._dynamo.reset()
    cfg = tiny_config(method=method, **(dict(feature_distance=dict(classes=[0, 1])) if method == 'DACS' else {}))
    (none, plain), (count, compiled) = losses(cfg, None), losses(cfg, dict(backend=backend))
    assert none == 0 and count == (5 if method == 'DACS' else 4)
    for a, b in zip(plain, compiled):
        assert a.keys() == b.keys()
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=2e-4, atol=1e-5, msg=name)


@pytest.mark.ci
def test_a_run_compiles(tiny_config, run_config, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self, **options: asked.append(options))
    cfg = tiny_config(max_iters=2, val_interval=100)
    cfg.train_cfg.compile = dict(backend='eager')
    run_config(cfg)
    assert asked == [dict(backend='eager')] * 2  # encoders of student and teacher


def test_what_it_cannot_do_is_said(tiny_config, monkeypatch):
    model = MODELS.build(tiny_config(method='Supervised').model)
    with pytest.raises(ValueError, match=r"takes .*'mode'.* not \['speed'\]"):
        compile_networks(model, dict(speed=3))
    with pytest.raises(ValueError, match="backend='indctor' is none of"):
        compile_networks(model, dict(backend='indctor'))
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.raises(ValueError, match='needs a C.. compiler.* Set train_cfg.compile=None'):
        compile_networks(model, True)
    assert why_not(dict(backend='eager'), CPU) is None
    monkeypatch.setattr('torch._dynamo.is_dynamo_supported', lambda: False)
    with pytest.raises(ValueError, match='does not compile with this Python'):
        compile_networks(model, dict(backend='eager'))


def test_a_step_with_activation_checkpointing_is_the_same(tiny_config):
    """Drop path is drawn twice alike; the teacher, without gradients, keeps nothing anyway."""
    cfg = tiny_config(feature_distance=dict(classes=[0, 1]))
    plain = losses(cfg, None)[1]
    cfg.model.network.backbone.with_cp = True
    assert losses(cfg, None)[1] == plain
