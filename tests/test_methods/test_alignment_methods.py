"""The alignment terms inside the training methods: passes, replays, batches, heads, entropy-guided detail crops."""
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods.step import StepContext, StepState
from mmseg_dg.models.segmentors import segmentation_losses
from mmseg_dg.registry import MODELS, OPTIM_WRAPPERS

from .test_dacs import batch_of, optimizer

# ---------------------------------------------------------------- in the methods
ALIGN = dict(type='PixelAlignment', eta=(0.5, 0.5), weight=1.)


@pytest.fixture
def make(tiny_config):

    def build(method='DACS', network=None, **model):
        torch.manual_seed(0)
        config = tiny_config(method=method, **model).model
        if network is not None:
            config.network = network
        return MODELS.build(config)

    return build


def hrda_network(**head):
    return dict(
        type='HRDAEncoderDecoder', hr_crop_size=(32, 32),
        backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4),
        decode_head=dict(type='HRDAHead', attention_channels=8, head=dict(dict(
            type='DAFormerHead', in_channels=[8] * 4, channels=8, embed_channels=8, num_classes=4,
            fusion=dict(type='sep_aspp', dilations=(1, 6)), norm_cfg=dict(type='BN')), **head)))


def step(method, batch, iteration=0, total=10, **kwargs):
    method.train()
    optim = kwargs.pop('optim', None) or optimizer(method)
    return method.train_step(batch, optim, context=StepContext(0, 0, iteration, total), preprocess=False, **kwargs)


@pytest.mark.parametrize('pair', ['joint', 'streaming'])
@pytest.mark.parametrize('hrda', [False, True])
def test_dacs_trains_with_the_term(make, hrda, pair):
    method = make(alignment=dict(ALIGN, pair=pair), network=hrda_network() if hrda else None)
    method.recorder.request('test')
    values = step(method, batch_of())
    first, last = 'source.loss_pixel_alignment', 'mix.loss_pixel_alignment'
    assert (first in values) == (pair == 'streaming') and float(values[last]) > 0
    assert float(values['mix.alignment_eta']) == pytest.approx(0.5)
    maps = [16 * 16, 8 * 8] if not hrda else [8 * 8, 8 * 8]
    drift = round(0.5 * maps[0]) + (round(0.5 * maps[1]) if hrda else 0)
    assert int(values['mix.alignment_drift_pixels']) == 2 * drift * (2 if pair == 'joint' else 1)
    assert not set(method.recorder.record.state.left()) & {'alignment_images', 'alignment_memory'}
    losses = sum(float(v) for k, v in values.items() if 'loss' in k and k != 'loss')
    assert float(values['loss']) == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize('shared', [True, False])
def test_joint_pair_moves_the_source_graph_also_beside_the_feature_distance(make, shared):
    """The gradient of the term alone reaches the source images (the mixed ones are a copy that needs none)."""
    method = make(alignment=ALIGN, shared_backward=shared, feature_distance=dict(classes=[1], min_ratio=0.1))
    state = StepState()
    batch = batch_of()
    images = batch['source']['inputs'].requires_grad_()
    seen = {}
    for one in method.passes(batch, method.draw_step(batch, 0), state):
        method.train()
        values = one.fn().losses
        seen[one.name] = one.retain_graph
        losses = list(values.values())
        if one.name == 'mix':
            images.grad = None
            values['mix.loss_pixel_alignment'].backward()
        elif losses:
            sum(losses).backward(retain_graph=one.retain_graph)
    names = ['source', 'mix'] if shared else ['source', 'feature_distance', 'mix']
    assert [n for n in seen if n != 'pseudo_labels'] == names
    assert [n for n in seen if seen[n]] == ([] if shared else names[:-1])
    assert not set(state.left()) & {'alignment_images', 'alignment_losses'}
    assert {'source.decode.loss_ce', 'mix.decode.loss_ce'} <= set(values), 'one backward for both graphs'
    assert float(images.grad.abs().sum()) > 0


def test_joint_gradient_is_the_sum_over_both_passes(make):
    """Encoder gradients of one step equal those of one backward through all losses at once."""
    grads = []
    for split in (False, True):
        method = make(alignment=ALIGN, network=None)
        method.eval()  # no dropout, running statistics
        batch = batch_of()
        state, total = StepState(), 0.
        for one in method.passes(batch, method.draw_step(batch, 0), state):
            losses = list(one.fn().losses.values())
            if losses and split:
                sum(losses).backward(retain_graph=one.retain_graph)
            elif losses:
                total = total + sum(losses)
        if not split:
            total.backward()
        grads.append({k: p.grad.clone() for k, p in method.student.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for k in grads[0]:
        torch.testing.assert_close(grads[0][k], grads[1][k], rtol=1e-4, atol=1e-7)


def test_nothing_changes_without_or_before_the_term(make):
    plain = step(make(), batch_of())
    waiting = step(make(alignment=dict(ALIGN, start=5)), batch_of(), iteration=0)
    assert plain == waiting
    names = [p.retain_graph for p in make(alignment=dict(ALIGN, start=5)).passes(
        batch_of(), make().draw_step(batch_of(), 0), StepState())]
    assert names == [False] * 3
    later = step(make(alignment=dict(ALIGN, start=5)), batch_of(), iteration=5)
    assert 'mix.loss_pixel_alignment' in later


def test_other_losses_of_the_step_are_those_without_the_term(make):
    """The same draws, dropout and labels: the term adds a number and nothing else."""
    without, aligned = step(make(), batch_of()), step(make(alignment=ALIGN), batch_of())
    assert all(aligned[k] == without[k] for k in without if k != 'loss')


def test_source_losses_wait_for_the_mixed_pass_and_are_counted_once(make):
    """With the joint pair one backward serves both graphs; names and total of the log stay."""
    seen = {'joint': [], 'streaming': []}
    for pair, order in seen.items():
        values = step(make(alignment=dict(ALIGN, pair=pair)), batch_of(), on_backward=order.append)
        losses = [v for k, v in values.items() if 'loss' in k and k != 'loss']
        assert float(values['loss']) == pytest.approx(float(sum(losses)), rel=1e-5)
    assert seen == {'joint': ['mix'], 'streaming': ['source', 'mix']}


@pytest.mark.parametrize('hrda', [False, True])
def test_supervised_pairs_the_two_images_of_the_batch(make, hrda):
    method = make('Supervised', alignment=ALIGN, network=hrda_network() if hrda else None)
    batch = dict(source=batch_of()['source'])
    values = step(method, batch)
    assert float(values['source.loss_pixel_alignment']) > 0
    assert [p.retain_graph for p in method.passes(batch, method.draw_step(batch, 0))] == [False]


def test_random_partition_is_replayed_by_its_draw(make):
    method = make(alignment=dict(ALIGN, partition='random'))
    batch = batch_of()
    draws = [method.draw_step(batch, seed) for seed in (1, 1, 2)]
    assert draws[0].alignment_seed == draws[1].alignment_seed != draws[2].alignment_seed
    assert repr(draws[0]).replace(f'alignment_seed={draws[0].alignment_seed}', 'alignment_seed=None') == \
        repr(make().draw_step(batch, 1)), 'drawn last: the other decisions are those without the term'
    method.eval()
    losses = [{k: float(v) for one in method.passes(batch, d, StepState()) for k, v in one.fn().named().items()}
              for d in draws]
    assert losses[0] == losses[1]


def test_projection_trains_at_the_decoder_rate_and_stays_out_of_the_network(make):
    method = make(alignment=dict(ALIGN, projection=dict(channels=6)))
    options = dict(optimizer=dict(type='SGD', lr=0.1))
    optim = MergedParamGroups(options, dict(custom_keys=dict(head=dict(lr_mult=10.))))(method)
    rates = {id(p): group['lr'] for group in optim.optimizer.param_groups for p in group['params']}
    assert {rates[id(p)] for p in method.alignment.parameters()} == {1.0}
    before = [p.detach().clone() for p in method.alignment.parameters()]
    step(method, batch_of(), optim=optim)
    assert not any(torch.equal(a, b) for a, b in zip(before, method.alignment.parameters()))
    assert any(k.startswith('alignment.projection_head') for k in method.state_dict())
    assert not any('projection_head' in k for k in method.student.state_dict())
    copy = make(alignment=dict(ALIGN, projection=dict(channels=6)))
    copy.load_state_dict(method.state_dict())


def test_stock_head_without_a_named_feature(make):
    """mmseg's DeepLabV3+ head: what enters cls_seg, before its dropout."""
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4),
        decode_head=dict(type='DepthwiseSeparableASPPHead', in_channels=8, in_index=3, channels=8, dilations=(1, 2),
                         c1_in_channels=8, c1_channels=4, num_classes=4, dropout_ratio=0.9, norm_cfg=dict(type='BN'),
                         align_corners=False))
    method = make('Supervised', alignment=ALIGN, network=network)
    method.train()
    images = torch.randn(2, 3, 64, 64)
    seen = []
    method.student.decode_head.dropout.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    result = segmentation_losses(method.student, images, torch.zeros(2, 64, 64, dtype=torch.long))
    view, = result.views
    assert view.features is seen[0] and torch.equal(view.logits, result.logits) and view.crop_box is None
    assert 'cls_seg' not in vars(method.student.decode_head), 'the head is left as it was'
    assert float(step(method, dict(source=batch_of()['source']))['source.loss_pixel_alignment']) > 0


def test_hrda_shows_both_resolutions_with_their_own_logits(make):
    network = make(network=hrda_network(dropout_ratio=0.)).student.eval()
    images, labels = torch.randn(2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.long)
    context, detail = segmentation_losses(network, images, labels, crop_box=(8, 40, 16, 48)).views
    assert context.crop_box is None and detail.crop_box == (8, 40, 16, 48)
    head = network.decode_head
    levels = network.extract_feat(images), network._encode(images[..., 8:40, 16:48])
    for view, maps in zip((context, detail), levels):
        torch.testing.assert_close(view.features, head.head.fused_features(maps))
        torch.testing.assert_close(view.logits, head.logits(maps))


def semi_batch(count=2):
    batch = batch_of()
    for sample in batch['target']['data_samples']:
        mask = torch.ones(1, 64, 64, dtype=torch.uint8)
        mask[:, :, 48:] = 0  # padding
        sample.valid_pseudo_mask = PixelData(data=mask)
    batch['target'] = dict(inputs=batch['target']['inputs'][:count],
                           data_samples=batch['target']['data_samples'][:count])
    return dict(labeled=batch['source'], unlabeled=batch['target'])


@pytest.mark.parametrize('pair', ['joint', 'streaming'])
@pytest.mark.parametrize('method, views', [('FixMatch', 1), ('UniMatch', 2), ('UniMatchV2', 2)])
def test_fixmatch_and_unimatch_take_the_same_term(make, method, views, pair):
    """Labeled image i and the strong views of unlabeled image i; padding has no drift pixels."""
    model = make(method, alignment=dict(ALIGN, pair=pair), cutmix=None, threshold=0.)
    values = step(model, semi_batch())
    assert ('labeled.loss_pixel_alignment' in values) == (pair == 'streaming')
    assert float(values['strong.loss_pixel_alignment']) > 0
    drift = 2 * views * round(0.5 * 16 * 12) + (2 * round(0.5 * 16 * 16) if pair == 'joint' else 0)
    assert int(values['strong.alignment_drift_pixels']) == drift
    unsure = step(make(method, alignment=dict(ALIGN, pair='streaming'), cutmix=None, threshold=1.), semi_batch())
    assert float(unsure['strong.loss_pixel_alignment']) == 0, 'no pixel is confident: weight 0 everywhere'
    plain, waiting = (step(make(method, alignment=a, cutmix=None), semi_batch()) for a in (None, dict(ALIGN, start=9)))
    assert plain == waiting


def test_unequal_batches_cannot_be_paired(make):
    method = make('FixMatch', alignment=ALIGN, cutmix=None)
    with pytest.raises(ValueError, match=r"they have \[2, 1\] images: use equal batch sizes, or prototypes='step'"):
        step(method, semi_batch(1))
    assert 'loss' in step(make('FixMatch', alignment=dict(ALIGN, prototypes='step'), cutmix=None), semi_batch(1))


# ---------------------------------------------------------------- one graph, the gradients of two
RECOMPUTE = {
    'dacs': ('DACS', dict(), dict()),
    'random': ('DACS', dict(partition='random', prototypes='step'), dict()),
    'projection': ('DACS', dict(projection=dict(channels=6)), dict(norm_eval=True)),
    'distance': ('DACS', dict(), dict(feature_distance=dict(classes=[1], min_ratio=0.1), shared_backward=False)),
    'hrda': ('DACS', dict(drop_covered=True), dict(network=hrda_network(dropout_ratio=0.3))),
    'guided': ('DACS', dict(selection='mean'), dict(network=hrda_network(dropout_ratio=0.3), detail_crop=dict(
        type='entropy', start=0, stride=16))),
    'fixmatch': ('FixMatch', dict(), dict(threshold=0.27)),
    'unimatch': ('UniMatch', dict(), dict(threshold=0.27, pseudo_labels='teacher')),
    'unimatch_v2': ('UniMatchV2', dict(), dict(threshold=0.27)),
}


def one_step(make, kind, pair):
    """Values, gradients, buffers and random state after one step with noise and trained BatchNorm."""
    name, term, options = RECOMPUTE[kind]
    method = make(name, alignment=dict(ALIGN, pair=pair, **term), **options)
    semi = name != 'DACS'
    batch = semi_batch() if semi else batch_of()
    if semi:
        batch['unlabeled_mix'] = semi_batch()['unlabeled']
    optim, order = optimizer(method), []
    optim.step = lambda: None  # gradients and weights stay
    values = step(method, batch, optim=optim, on_backward=order.append)
    grads = {k: p.grad.clone() for k, p in method.named_parameters() if p.grad is not None}
    return values, grads, {k: b.clone() for k, b in method.named_buffers()}, torch.get_rng_state(), order


@pytest.mark.parametrize('kind', RECOMPUTE)
def test_recompute_is_joint_with_one_graph(make, kind):
    """Every gradient, every buffer, the losses of both passes and the random state; the first graph is gone early."""
    joint, again = (one_step(make, kind, pair) for pair in ('joint', 'recompute'))
    assert joint[1].keys() == again[1].keys()
    torch.testing.assert_close(again[1], joint[1], rtol=2e-4, atol=1e-6)
    torch.testing.assert_close(again[2], joint[2], rtol=1e-6, atol=1e-7)
    assert torch.equal(joint[3], again[3])
    term = 'loss_pixel_alignment'
    parts = [{k: float(v) for k, v in values.items() if k.endswith(term)} for values, *_ in (joint, again)]
    assert [len(p) for p in parts] == [1, 2] and all(min(p.values()) > 0 for p in parts)
    assert sum(parts[1].values()) == pytest.approx(sum(parts[0].values()), rel=1e-5)
    for key in joint[0].keys() - parts[0].keys():
        assert float(again[0][key]) == pytest.approx(float(joint[0][key]), rel=1e-5), key
    first = 'labeled' if 'match' in kind else 'source'
    assert again[4] == [first, *joint[4]], 'the first pass is back-propagated by itself, not with the last'


def test_recompute_needs_the_buffers_and_the_random_state_put_back(make, monkeypatch):
    """Without it the gradients are others: the test above can fail."""
    from mmseg_dg.methods import alignment
    joint = one_step(make, 'hrda', 'joint')
    monkeypatch.setattr(alignment, 'without_traces', lambda *modules: torch.no_grad())
    again = one_step(make, 'hrda', 'recompute')
    assert any(not torch.allclose(again[1][k], g, rtol=1e-3) for k, g in joint[1].items())
    assert any(not torch.equal(again[2][k], b) for k, b in joint[2].items() if 'num_batches' in k)


def test_recompute_in_mixed_precision(make):
    """Casts of weights that autocast keeps must not come from the forward pass without gradients."""
    grads = []
    for pair in ('joint', 'recompute'):
        method = make(alignment=dict(ALIGN, pair=pair))
        optim = OPTIM_WRAPPERS.build(dict(type='BF16OptimWrapper', optimizer=torch.optim.SGD(
            method.student.parameters(), lr=0.)))
        step(method, batch_of(), optim=optim)
        grads.append({k: p.grad for k, p in method.student.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    total = [torch.cat([g.flatten().float() for g in one.values()]) for one in grads]
    assert float((total[0] - total[1]).norm() / total[0].norm()) < 0.02


def test_before_its_start_recompute_changes_no_order(make):
    waiting = make(alignment=dict(ALIGN, pair='recompute', start=5))
    state = StepState()
    state.context = StepContext(0, 0, 4, 10)
    names = [p.name for p in waiting.passes(batch_of(), waiting.draw_step(batch_of(), 0), state)]
    assert names == ['source', 'pseudo_labels', 'mix']
    state.context = StepContext(0, 0, 5, 10)
    names = [p.name for p in waiting.passes(batch_of(), waiting.draw_step(batch_of(), 0), state)]
    assert names == ['pseudo_labels', 'source', 'mix'], 'the labels of the images it looks at'


@pytest.mark.parametrize('method', ['FixMatch', 'UniMatch'])
def test_unsure_pixels_leave_the_term(make, method):
    """k = round(eta n) counts the confident pixels; the drift pixels are the least sure of these, so they weigh 1."""

    def strong_parts(**options):
        model = make(method, alignment=dict(type='PixelAlignment', eta=(0.25, 0.25), pair='streaming', **options),
                     cutmix=None, threshold=0.3)
        divide, parts = model.alignment.divide, []
        model.alignment.divide = lambda *args, **kwargs: parts.extend(divide(*args, **kwargs)) or parts[-1:]
        step(model, semi_batch())
        return [p for p in parts if p.weight is not None]

    for left, kept in zip(strong_parts(), strong_parts(ignore_zero_weight=False)):
        valid = left.labels != 255
        sure = valid & (left.weight > 0)
        assert 0 < int(sure.sum()) < int(valid.sum()), 'or the test says nothing'
        assert left.drift.sum((1, 2)).tolist() == [round(0.25 * int(n)) for n in sure.sum((1, 2))]
        assert bool((left.weight[left.drift] == 1).all()) and not bool((left.joint & (left.weight == 0)).any())
        assert kept.drift.sum((1, 2)).tolist() == [round(0.25 * int(n)) for n in valid.sum((1, 2))]
        assert not bool((kept.weight[kept.drift] == 1).all()), 'on request they stay as terms of weight 0'
    assert make(method, alignment=dict(type='PixelContrast', resolution=8), cutmix=None).alignment is not None


class _NoClassifier(nn.Module):
    """A head that predicts without cls_seg."""
    num_classes = out_channels = 4
    align_corners = False
    ignore_index = 255
    threshold = None
    in_index = 3

    def __init__(self, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(8, 4, 1)

    def forward(self, features):
        return self.conv(features[3])


@MODELS.register_module(force=True)
class SilentHead(_NoClassifier):
    """Found at construction."""


@MODELS.register_module(force=True)
class IdleHead(_NoClassifier):
    """Has a classifier that it does not use: found in the first pass."""

    channels, in_channels = 8, 8

    def __init__(self, **kwargs):
        super().__init__()
        self.conv_seg = nn.Conv2d(8, 4, 1)
        self.loss_decode = MODELS.build(dict(type='CrossEntropyLoss'))

    def cls_seg(self, features):
        return self.conv_seg(features)


@pytest.mark.parametrize('kind', ['SilentHead', 'IdleHead'])
def test_head_without_features_is_named(make, kind, tiny_config):
    network = dict(tiny_config().model.network, decode_head=dict(type=kind, num_classes=4))
    with pytest.raises(ValueError, match=f'{kind} shows no feature per pixel'):
        step(make('Supervised', alignment=ALIGN, network=network), dict(source=batch_of()['source']))
    assert kind != 'SilentHead' or make('Supervised', network=network).alignment is None


# ---------------------------------------------------------------- entropy-guided detail crops
CROP = dict(type='entropy', start=3, stride=16)


def test_detail_crops_of_mixed_images_follow_the_entropy(make):
    method = make(network=hrda_network(), detail_crop=CROP)
    method.recorder.request('test')
    step(method, batch_of(), iteration=2)
    drawn = method.recorder.record.draws.crop_box_mix
    assert isinstance(drawn, tuple)
    values = step(method, batch_of(), iteration=3)
    record = method.recorder.record
    boxes = record.draws.crop_box_mix
    assert len(boxes) == 2 and all(y2 - y1 == x2 - x1 == 32 and y1 % 16 == x1 % 16 == 0 for y1, y2, x1, x2 in boxes)
    again = make(network=hrda_network(), detail_crop=CROP)  # the recorded boxes are taken as they are
    step(again, batch_of(), iteration=2)
    replayed = step(again, batch_of(), iteration=3, draws=record.draws)
    assert {k: float(v) for k, v in replayed.items()} == pytest.approx({k: float(v) for k, v in values.items()},
                                                                       rel=1e-5)


def test_boxes_of_single_images_give_the_losses_of_single_images(make):
    """The mean over two images, each with its own detail crop, is the mean of the two."""
    network = make(network=hrda_network(dropout_ratio=0.)).student.eval()
    images, labels = torch.randn(2, 3, 64, 64), torch.randint(0, 4, (2, 64, 64))
    boxes = [(0, 32, 8, 40), (16, 48, 32, 64)]
    both = segmentation_losses(network, images, labels, crop_box=boxes)
    single = [segmentation_losses(network, images[i:i + 1], labels[i:i + 1], crop_box=boxes[i]) for i in range(2)]
    torch.testing.assert_close(both.logits, torch.cat([s.logits for s in single]))
    for key in ('decode.loss_ce', 'decode.hr.loss_ce'):
        assert float(both.losses[key]) == pytest.approx(sum(float(s.losses[key]) for s in single) / 2, rel=1e-5)
    assert both.views[1].crop_box == boxes


@pytest.mark.parametrize('crop, message', [
    (dict(type='random'), "got type='random'"),
    (dict(type='entropy', step=16), r"and \['step'\]"),
    (dict(type='entropy', stride=12), 'stride=12'),
    (dict(type='entropy', start=-1, stride=16), 'start=-1'),
    (dict(type='entropy', stride=64), 'stride=64'),
])
def test_bad_detail_crops_are_named(make, crop, message):
    with pytest.raises(ValueError, match=message):
        make(network=hrda_network(), detail_crop=crop)
    with pytest.raises(ValueError, match='not EncoderDecoder'):
        make(detail_crop=dict(type='entropy'))


def test_sample_without_a_pair(make):
    """A batch of one image: its own prototypes, no error."""
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 4, (1, 64, 64))))
    batch = dict(source=dict(inputs=torch.randn(1, 3, 64, 64), data_samples=[sample]))
    method = make('Supervised', alignment=ALIGN, norm_eval=True)
    assert float(step(method, batch)['source.loss_pixel_alignment']) > 0
