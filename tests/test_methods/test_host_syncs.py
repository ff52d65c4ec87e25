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
    model = MODELS.build(tiny_config(method=method).model).train()
    waits, reads = waits_of_a_step(model, _batch(model), monkeypatch)
    assert not waits and not reads, (waits, reads)


def test_classes_to_mix_are_those_the_labels_had_on_the_host(tiny_config):
    """The preprocessor keeps labels of the host; the drawing asks nothing of those on the device: here they have no
    values at all."""
    cfg = tiny_config()
    model = MODELS.build(cfg.model).train()
    raw = {stream: dict(inputs=[torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)] * 2,
                        data_samples=part['data_samples']) for stream, part in _batch(model).items()}
    batch = model.data_preprocessor(raw, True)
    assert 'host_labels' in batch['source'] and 'host_labels' not in batch['target']
    plain = {name: {k: v for k, v in part.items() if k != 'host_labels'} for name, part in batch.items()}
    expected = model.draw_step(plain, StepGenerator(3))
    for sample in batch['source']['data_samples']:
        sample.gt_sem_seg.data = sample.gt_sem_seg.data.to('meta')
    with pytest.raises(NotImplementedError):
        model.draw_step(dict(batch, source=dict(batch['source'], host_labels=None)), StepGenerator(3))
    found = model.draw_step(batch, StepGenerator(3))
    assert all(torch.equal(a, b) for a, b in zip(found.mix_classes, expected.mix_classes))


def test_time_bins_ask_nothing_of_the_device():
    from mmseg_dg.models.segmentors.mask_diffusion import DenoisedLabels, MaskDiffusionEncoderDecoder
    network = MaskDiffusionEncoderDecoder.__new__(MaskDiffusionEncoderDecoder)
    logits = torch.empty(3, 4, 8, 8, device='meta')
    times = [0.1, 0.99, 1.]
    result = DenoisedLabels(logits, logits, torch.empty(3, dtype=torch.float64, device='meta'), host_times=times)
    labels = torch.empty(3, 32, 32, dtype=torch.int64, device='meta')
    assert list(network.time_bins(result, labels)) == ['ce_t0-0.2', 'ce_t0.8-1']


def test_a_feature_distance_asks_nothing_of_the_device():
    from mmseg_dg.ops import downscale_labels
    assert downscale_labels(torch.empty(2, 64, 64, dtype=torch.int64, device='meta'), 8, 0.75, 19).shape == (2, 8, 8)


@pytest.mark.parametrize('weighted', [False, True])
def test_a_mean_over_labeled_pixels_is_that_of_mmseg(weighted):
    from mmseg.models.losses import CrossEntropyLoss
    logits, labels = torch.randn(2, 5, 8, 8), torch.randint(0, 5, (2, 8, 8))
    labels[0, :3] = 255
    weight = torch.rand(2, 8, 8) if weighted else None
    ours = MODELS.build(dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.5))
    theirs = CrossEntropyLoss(avg_non_ignore=True, loss_weight=0.5)
    for x in (logits, logits.double()):
        w = None if weight is None else weight.to(x.dtype)
        found, expected = (loss(x, labels, weight=w, ignore_index=255) for loss in (ours, theirs))
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


def test_a_left_out_step_does_not_touch_the_stage(tiny_config):
    """A host that has read it would read it again."""
    model = MODELS.build(tiny_config(method='DeFT').model).train()
    batch = _batch(model)
    batch['source']['inputs'][0, 0, 0, 0] = float('nan')
    version, tracked = model.stage._version, model.student.decode_head.conv_seg.weight.clone()
    before = {name: b.clone() for name, b in model.named_buffers()}
    watch = FiniteWatch('skip', deferred=True)
    model.train_step(batch, _optimizer(model), context=StepContext(0), preprocess=False, watch=watch)
    assert model.stage._version == version and torch.equal(tracked, model.student.decode_head.conv_seg.weight)
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers() if name != 'step_skipped')


def test_to_a_gpu_from_pinned_memory(monkeypatch):
    """Without a GPU: what is asked of torch."""
    from mmseg_dg.ops.transfer import on_device
    assert on_device([1, 2], torch.device('cpu'), torch.long).tolist() == [1, 2]
    asked = []
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self: asked.append('pinned') or self)
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, *a, **k: asked.append((a, k)) or self)
    on_device([0.5], torch.device('cuda'), torch.float64)
    assert asked == ['pinned', ((torch.device('cuda'), ), dict(non_blocking=True))]


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


@pytest.mark.parametrize('method', ['FixMatch', 'UniMatch', 'UniMatchV2'])
def test_no_host_sync_in_a_semi_supervised_step(method, monkeypatch):
    from .test_semi_supervised import make, make_batch
    model = make(method)
    batch = make_batch(mix=method != 'UniMatchV2')
    waits, reads = waits_of_a_step(model, batch, monkeypatch)
    assert not waits and not reads, (waits, reads)


def test_no_host_sync_in_a_masked_pass(tiny_config, monkeypatch):
    model = MODELS.build(tiny_config(masked=dict(ratio=0.5, block_size=16)).model).train()
    waits, reads = waits_of_a_step(model, _batch(model), monkeypatch)
    assert not waits and not reads, (waits, reads)


def test_no_host_sync_in_diffmatch_but_the_time_bins(monkeypatch):
    """These are read on a CPU only: see above."""
    from test_models.diffusion_networks import batch_of

    from .test_diffmatch import make
    waits, reads = waits_of_a_step(make(), batch_of(), monkeypatch)
    assert set(waits) <= {'_local_scalar_dense'} and set(reads) <= {'tolist'}, (waits, reads)


def waits_of_a_step(model, batch, monkeypatch):
    """Operators and calls for which a host would wait, in the second step."""
    optim, draws, watch = _optimizer(model), model.draw_step(batch, StepGenerator(0)), FiniteWatch(deferred=True)

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
    return waits.total, reads
