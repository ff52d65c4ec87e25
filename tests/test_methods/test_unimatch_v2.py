"""UniMatch V2: the formulas of docs/behavior/unimatch_v2.md#one-step, computed a second time in plain torch."""
import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods import SemiDraws, UniMatchV2
from mmseg_dg.methods.step import StepContext
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.methods.unimatch import decoder_levels
from mmseg_dg.methods.unimatch_v2 import decoder_widths
from mmseg_dg.ops import ComplementaryMasks, StrongView, draw_complementary_masks

from .test_semi_supervised import (
    GRAY,
    SIZE,
    make,
    make_batch,
    plain_logits,
    plain_loss,
    plain_paste,
    plain_strong,
    run_passes,
    total_of,
    valid_of,
)

BOXES = [[(2, 20, 3, 30), None], [(8, 32, 0, 32), (0, 4, 5, 25)]]
VIEWS = [[StrongView(), GRAY], [GRAY, StrongView()]]


def draws_of(widths=(8, 8, 8, 8), boxes=BOXES, share=0.5, seed=3):
    return SemiDraws(views=VIEWS, boxes=boxes,
                     dropout=draw_complementary_masks(2, widths, np.random.RandomState(seed), share))


def shaken(method):
    """The teacher moved away from the student, so that it matters whose pseudo-labels are taken."""
    method.teacher.copy_from(method.student)
    with torch.no_grad():
        for p in method.teacher.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return method


def plain_v2(net, teacher, batch, threshold, masks, levels):
    """L of one step: unimatch_v2.md, items 1 to 5."""
    weak, x = batch['unlabeled']['inputs'], batch['labeled']['inputs']
    teacher.eval()
    with torch.no_grad():
        conf, label = plain_logits(teacher, teacher.backbone(weak)).softmax(1).max(1)
    ignored = ~valid_of(batch, 'unlabeled')
    views, targets = [], []
    for gray, boxes in zip(([False, True], [True, False]), BOXES):
        own = plain_strong(weak, gray)
        views.append(plain_paste(own, own.flip(0), boxes))
        targets.append([plain_paste(t, t.flip(0), boxes) for t in (label, conf, ignored)])
    labels = torch.stack([s.gt_sem_seg.data[0] for s in batch['labeled']['data_samples']])
    loss_x = F.cross_entropy(plain_logits(net, net.backbone(x)), labels, ignore_index=255)
    features = list(net.backbone(torch.cat(views)))
    for i, mask in zip(levels, masks.channels):
        one = 2. * mask.float()
        one[masks.whole] = 1.
        features[i] = features[i] * torch.cat([one, 2 - one]).view(4, -1, 1, 1)
    preds = plain_logits(net, features).chunk(2)
    strong = [plain_loss(p, *t, threshold) for p, t in zip(preds, targets)]
    return (loss_x + (strong[0] + strong[1]) / 2) / 2, loss_x, strong, (conf >= threshold) & ~ignored


@pytest.mark.parametrize('kind, widths, levels', [('DAFormerHead', (8, 8, 8, 8), (0, 1, 2, 3)),
                                                  ('deeplabv3plus', (8, 8), (0, 3))])
def test_a_step_is_the_formula(kind, widths, levels):
    method, batch = shaken(make('UniMatchV2', kind=kind)), make_batch(mix=False)
    method.threshold = threshold = float(method.evaluated_pseudo_labels(batch, 'unlabeled').confidence.median())
    assert method.streams == ('labeled', 'unlabeled') and method.level_widths == widths
    net, teacher, draws = copy.deepcopy(method.student), copy.deepcopy(method.teacher.module), draws_of(widths)
    values, state = run_passes(method, batch, draws)
    total, loss_x, strong, mask = plain_v2(net, teacher, batch, threshold, draws.dropout, levels)
    assert 0.05 < float(mask.float().mean()) < 0.9, 'the threshold must decide something here'
    expected = {'labeled.decode.loss_ce': loss_x / 2, 'strong1.loss_ce': strong[0] / 4,
                'strong2.loss_ce': strong[1] / 4}
    for name, value in expected.items():
        torch.testing.assert_close(values[name], value.detach(), rtol=1e-5, atol=1e-6)
    assert set(values) == {*expected, 'labeled.decode.acc_seg', 'unlabeled.pseudo_label_share'}
    torch.testing.assert_close(total_of(values), total.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(state.pseudo_weight > 0, mask)
    total.backward()
    for (name, ours), theirs in zip(method.student.named_parameters(), net.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f'{n}: {m}')
    for (name, ours), theirs in zip(method.student.named_buffers(), net.buffers()):
        torch.testing.assert_close(ours, theirs, msg=lambda m, n=name: f'{n}: BatchNorm saw other batches: {m}')


@pytest.mark.parametrize('count', [1, 2, 3])
def test_reversed_batch_pastes_labels_confidence_and_padding_with_the_pixels(count):
    method, batch = make('UniMatchV2', complementary_dropout=0.), make_batch(count, mix=False)
    boxes = [[(4, 20, 8, 24)] * count] * 2
    draws = SemiDraws(views=[[StrongView()] * count] * 2, boxes=boxes)
    images = method.strong_batch(batch, draws)
    own = method.evaluated_pseudo_labels(batch, 'unlabeled')
    for k, target in enumerate(method.pasted_labels(own, None, draws)):
        for i in range(count):
            box, other = (i, ..., slice(4, 20), slice(8, 24)), count - 1 - i
            torch.testing.assert_close(images[k][box], images[k].flip(0)[box] if count == 1 else plain_strong(
                batch['unlabeled']['inputs'], [False] * count)[(other, *box[1:])])
            for ours, alone in zip(target, own):
                assert torch.equal(ours[box], alone[(other, *box[1:])])
                assert torch.equal(ours[i, 20:], alone[i, 20:])


def test_without_dropout_and_cutmix_it_is_fixmatch_with_two_views():
    batch, results = make_batch(mix=False), []
    views = dict(cutmix=None, view_weights=(0.25, 0.25), pseudo_labels='teacher', evaluate='teacher', norm_eval=True,
                 threshold=0.35)
    for name, more in (('FixMatch', {}), ('UniMatchV2', dict(complementary_dropout=0.))):
        method = shaken(make(name, **views, **more))
        method.train()
        values, _ = run_passes(method, batch, SemiDraws(views=VIEWS))
        results.append((values, [p.grad for p in method.student.parameters()]))
    (fix, fix_grads), (two, two_grads) = results
    assert set(fix) == set(two)
    for name in fix:
        torch.testing.assert_close(two[name], fix[name], rtol=1e-6, atol=1e-7)
    for a, b in zip(two_grads, fix_grads):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_nothing_confident_and_nothing_but_padding_give_a_zero_with_a_graph():
    for spoil in ('threshold', 'padding'):
        method, batch = make('UniMatchV2', threshold=1. if spoil == 'threshold' else 0.), make_batch(mix=False)
        if spoil == 'padding':
            for sample in batch['unlabeled']['data_samples']:
                sample.valid_pseudo_mask.data.zero_()
        values, _ = run_passes(method, batch, draws_of())
        assert float(values['strong1.loss_ce']) == float(values['strong2.loss_ce']) == 0.
        assert float(values['unlabeled.pseudo_label_share']) == 0. and float(values['labeled.decode.loss_ce']) > 0
        assert all(torch.isfinite(p.grad).all() for p in method.student.parameters())


def test_recorded_draws_replay_and_a_step_is_a_function_of_its_context():
    method, batch = make('UniMatchV2'), make_batch(mix=False)
    draws = method.draw_step(batch, 7)
    assert repr(draws) == repr(method.draw_step(batch, 7)) != repr(method.draw_step(batch, 8))
    assert not draws.mix_views and [len(v) for v in draws.views + draws.boxes] == [2] * 4
    plain = make('FixMatch', view_weights=(0.25, 0.25), mix_stream=None).draw_step(batch, 7)
    assert (plain.views, plain.boxes) == (draws.views, draws.boxes) and plain.dropout is None, 'dropout is drawn last'
    results = []
    for given in (draws, copy.deepcopy(draws), None, None):
        torch.manual_seed(len(results))
        method = make('UniMatchV2', threshold=0.3)
        optim = MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.1)), None)(method)
        values = method.train_step(make_batch(mix=False), optim, draws=given, context=StepContext(0, 0, 3),
                                   preprocess=False)
        results.append((values, method.student.state_dict()))
    for a, b in ((0, 1), (2, 3)):
        assert results[a][0] == results[b][0] and math.isfinite(results[a][0]['loss'])
        assert all(torch.equal(x, y) for x, y in zip(results[a][1].values(), results[b][1].values()))


def test_bf16():
    method = make('UniMatchV2', threshold=0.)
    optim = MergedParamGroups(dict(type='BF16OptimWrapper', optimizer=dict(type='SGD', lr=0.1)), None)(method)
    values = method.train_step(make_batch(mix=False), optim, context=StepContext(0), preprocess=False)
    assert all(torch.isfinite(v) for v in values.values()) and float(values['strong1.loss_ce']) > 0


def test_average_0996_with_its_ramp_by_hand():
    student, numbers = torch.nn.Linear(1, 1, bias=False), [3., 1., 4., 1., 5.]
    method = make('UniMatchV2')
    settings = type(method).hook_settings['EMAUpdateHook']
    assert settings == dict(beta=0.996, when='after_step', ramp=True, buffers='average')
    teacher, average = EMATeacher(student), 0.
    teacher.configure(settings['beta'], settings['ramp'], settings['buffers'])
    for i, number in enumerate(numbers):
        student.weight.data.fill_(number)
        teacher.update_parameters(student)
        alpha = min(1 - 1 / (i + 1), 0.996)
        average = alpha * average + (1 - alpha) * number
    assert float(teacher.module.weight) == pytest.approx(average, rel=1e-6)
    assert teacher.beta_at(248) < teacher.beta_at(249) == teacher.beta_at(10**6) == 0.996


@pytest.mark.parametrize('head, widths', [
    (dict(in_channels=[8, 16, 32, 64], in_index=[0, 1, 2, 3]), (8, 16, 32, 64)),
    (dict(in_channels=[64, 8], in_index=[3, 0]), (8, 64)), (dict(in_channels=[8, 16]), (8, 16)),
    (dict(in_channels=384, in_index=[0, 1, 2, 3]), (384, ) * 4), (dict(in_channels=64, in_index=3), (64, )),
    (dict(in_channels=64, in_index=3, c1_in_channels=16), (16, 64)), (dict(in_channels=64), (64, )),
])
def test_widths_of_the_levels_a_decoder_reads(head, widths):
    assert decoder_widths(head) == widths


def test_positive_and_negative_levels_side_by_side():
    """Widths of the draws and levels that lose channels come in one order, whatever ``in_index`` counts from."""
    head = SimpleNamespace(in_index=[0, -1], named_children=lambda: [])
    features = [torch.ones(4, width, 2, 2) for width in (6, 3, 5, 8)]
    widths = decoder_widths(dict(in_channels=[6, 8], in_index=[0, -1]))
    assert [features[i].shape[1] for i in decoder_levels(head, 4)] == list(widths) == [8, 6]
    masks = draw_complementary_masks(2, widths, np.random.RandomState(0), 1.)
    method = SimpleNamespace(student=SimpleNamespace(decode_head=head))
    found = UniMatchV2.perturbed(method, features, SemiDraws(views=VIEWS, boxes=BOXES, dropout=masks))
    assert [bool((x == 1).all()) for x in found] == [False, True, True, False]


def test_bad_input_is_named():
    for arguments, words in ((dict(complementary_dropout=1.5), 'share of the images'),
                             (dict(view_weights=(0.5, )), 'two strong views, but view_weights has 1'),
                             (dict(pseudo_labels='both'), "'student' or")):
        with pytest.raises(ValueError, match=words):
            make('UniMatchV2', **arguments)
    with pytest.raises(ValueError, match='in_index=3: give lists'):
        decoder_widths(dict(in_channels=[8, 16], in_index=3))
    method, batch = make('UniMatchV2'), make_batch(mix=False)
    with pytest.raises(ValueError, match='have no channels to drop'):
        method.passes(batch, SemiDraws(views=VIEWS, boxes=BOXES))
    wrong = SemiDraws(views=VIEWS, boxes=BOXES, dropout=ComplementaryMasks(
        [torch.ones(2, 5, dtype=torch.bool)] * 4, torch.zeros(2, dtype=torch.bool)))
    with pytest.raises(ValueError, match=r'levels with \[5, 5, 5, 5\] channels, but the decoder reads \[8, 8, 8, 8\]'):
        run_passes(method, batch, wrong)


def test_batches_of_batch_norm():
    sizes = make('UniMatchV2').forward_sizes(dict(labeled=1, unlabeled=3))
    assert sorted(sizes.values()) == [('labeled', 1), ('unlabeled', 6)] and SIZE == 32
