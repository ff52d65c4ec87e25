"""A training step asks the device for nothing: on a GPU the host would wait. Counted on the CPU."""
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_dg.methods.finite import FiniteWatch
from mmseg_dg.methods.step import StepContext
from mmseg_dg.ops import pixel_accuracy
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator

#: Operators whose result, or its size, the host must know.
WAITING = ('_local_scalar_dense', 'nonzero', '_unique', 'unique', 'masked_select', 'bincount', 'equal')


class Waits(TorchDispatchMode):
    """Counts operators for which the host of a GPU would wait, selection by a mask among them."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name.startswith(WAITING):
            self.found[name] += 1
        if name in ('index', 'index_put', 'index_put_', '_index_put_impl_'):
            masks = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
            self.found[name + ' by a mask'] += len(masks)
        return func(*args, **(kwargs or {}))

    @property
    def total(self):
        return +self.found


@pytest.mark.parametrize('method', ['DACS', 'DeFT'])
def test_no_host_sync_in_a_step(tiny_config, method, monkeypatch):
    cfg = tiny_config() if method == 'DACS' else tiny_config(method='DeFT')
    model = MODELS.build(cfg.model).train()
    optim = _optimizer(model)
    batch = _batch(model)
    draws = model.draw_step(batch, StepGenerator(0))  # the classes to mix are drawn by the host
    watch = FiniteWatch(deferred=True)

    def step(iteration):
        model.train_step(batch, optim, draws=draws, context=StepContext(0, iteration=iteration), preprocess=False,
                         watch=watch)
        for source, average in model.ema_pairs().values():
            average.update_parameters(source, unless=model.step_skipped)

    step(0)  # what a method says once
    reads = []
    for name in ('tolist', 'cpu', 'numpy'):
        call = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, *a, call=call, name=name, **k: (
            reads.append(name), call(self, *a, **k))[1])
    with Waits() as waits:
        step(1)
    assert not waits.total and not reads, (waits.total, reads)


def _optimizer(model):
    from mmengine.optim import OptimWrapper
    return OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))


def _batch(model):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    batch = {}
    for stream in model.streams:
        samples = []
        for _ in range(2):
            sample = SegDataSample()
            if stream in model.labeled_streams:
                sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 64, 64)))
            samples.append(sample)
        batch[stream] = dict(inputs=torch.randn(2, 3, 64, 64), data_samples=samples)
    return batch


def test_the_counter_counts():
    x = torch.arange(4.)
    with Waits() as waits:
        float(x.sum()), x[x > 1], x.nonzero(), torch.unique(x)
    assert len(waits.total) == 4


def test_accuracy_is_that_of_mmseg():
    from mmseg.models.losses import accuracy
    logits, labels = torch.randn(2, 5, 8, 8), torch.randint(0, 5, (2, 8, 8))
    labels[0, :3] = 255
    torch.testing.assert_close(pixel_accuracy(logits, labels, 255), accuracy(logits, labels, ignore_index=255))
    torch.testing.assert_close(pixel_accuracy(logits, labels, None), accuracy(logits, labels))
