"""FixMatch and UniMatch: the formulas of docs/behavior/unimatch.md#unimatch-step, computed a second time without the
package's code."""
import copy
import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods import SemiDraws
from mmseg_dg.methods.semi_supervised import evaluation_mode
from mmseg_dg.methods.step import StepContext, StepState
from mmseg_dg.methods.unimatch import decoder_levels
from mmseg_dg.ops import StrongView
from mmseg_dg.registry import MODELS

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
SIZE, CLASSES = 32, 4
NORM = dict(type='BN')


def head(kind='DAFormerHead'):
    common = dict(num_classes=CLASSES, dropout_ratio=0., norm_cfg=NORM, align_corners=kind != 'DAFormerHead',
                  loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True))
    if kind == 'DAFormerHead':
        return dict(type=kind, in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=8, embed_channels=8,
                    fusion=dict(type='sep_aspp', dilations=(1, 6)), **common)
    return dict(type='DepthwiseSeparableASPPHead', in_channels=8, in_index=3, channels=8, dilations=(1, 2),
                c1_in_channels=8, c1_channels=4, **common)


def make(method='UniMatch', kind='DAFormerHead', **model):
    torch.manual_seed(0)
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4,
                      drop_path_rate=0.),
        decode_head=head(kind), train_cfg=dict(), test_cfg=dict(mode='whole'))
    built = MODELS.build(ConfigDict(
        type=method, network=network, data_preprocessor=dict(
            type='MultiStreamDataPreprocessor', mean=MEAN, std=STD, bgr_to_rgb=True), **model))
    with torch.no_grad():  # a random network is sure of nothing: make confidences that straddle the threshold
        built.student.decode_head.conv_seg.weight.mul_(3)
    return built.train()


def make_batch(count=2, mix=True, seed=0):
    g = torch.Generator().manual_seed(seed)

    def sample(labeled, i):
        data = SegDataSample()
        if labeled:
            label = torch.randint(0, CLASSES, (1, SIZE, SIZE), generator=g)
            label[:, :, :4] = 255
            data.gt_sem_seg = PixelData(data=label)
        else:
            valid = torch.ones(1, SIZE, SIZE, dtype=torch.uint8)
            valid[:, SIZE - 6 * (i + 1):] = 0
            data.set_data(dict(valid_pseudo_mask=PixelData(data=valid)))
        return data

    names = ['labeled', 'unlabeled'] + ['unlabeled_mix'] * mix
    return {name: dict(inputs=torch.randn(count, 3, SIZE, SIZE, generator=g),
                       data_samples=[sample(name == 'labeled', i) for i in range(count)]) for name in names}


GRAY = StrongView(grayscale=True)
DRAWS = SemiDraws(views=[[StrongView(), GRAY], [GRAY, StrongView()]], mix_views=[[GRAY, GRAY], [StrongView(), GRAY]],
                  boxes=[[(2, 20, 3, 30), None], [(8, 32, 0, 32), (0, 4, 5, 25)]])


def run_passes(method, batch, draws, seed=5):
    """Run and back-propagate the passes one by one, as the stepper does."""
    torch.manual_seed(seed)
    state, values = StepState(), {}
    for step in method.passes(batch, draws, state):
        found = step.fn()
        values.update({k: v.detach() for k, v in found.named().items()})
        loss = found.total()
        if loss is not None:
            loss.backward()
    return values, state


def total_of(values):
    """Sum of the losses; those of these methods have it in their names."""
    return sum(v for k, v in values.items() if 'loss' in k)


# ---------------------------------------------------------------- the formulas once more, in plain torch
def plain_logits(net, features):
    logits = net.decode_head(features)
    return F.interpolate(logits, size=(SIZE, SIZE), mode='bilinear', align_corners=net.decode_head.align_corners)


def plain_strong(images, gray):
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    plain = ((images * std + mean) / 255).clamp(0, 1)
    luma = (plain * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True).expand_as(plain)
    return (torch.where(torch.tensor(gray).view(-1, 1, 1, 1), luma, plain) * 255 - mean) / std


def plain_paste(base, other, boxes):
    base = base.clone()
    for i, box in enumerate(boxes):
        if box is not None:
            y1, y2, x1, x2 = box
            base[i, ..., y1:y2, x1:x2] = other[i, ..., y1:y2, x1:x2]
    return base


def plain_loss(logits, label, confidence, ignored, threshold):
    """Step 5, pixel by pixel."""
    logp = logits.log_softmax(1)
    total, count = logits.new_zeros(()), 0
    for b in range(len(label)):
        for y in range(SIZE):
            for x in range(SIZE):
                if not ignored[b, y, x]:
                    count += 1
                    if confidence[b, y, x] >= threshold:
                        total = total - logp[b, label[b, y, x], y, x]
    return total / count


def valid_of(batch, stream):
    return torch.stack([s.valid_pseudo_mask.data[0] for s in batch[stream]['data_samples']]) == 1


def plain_unimatch(net, batch, threshold, levels, seed=5):
    torch.manual_seed(seed)
    net.eval()
    with torch.no_grad():
        mix = batch['unlabeled_mix']['inputs']
        mix_conf, mix_label = plain_logits(net, net.backbone(mix)).softmax(1).max(1)
    net.train()
    x, weak = batch['labeled']['inputs'], batch['unlabeled']['inputs']
    features = list(net.backbone(torch.cat([x, weak])))
    dropped = [F.dropout2d(f, 0.5, training=True) if i in levels else f for i, f in enumerate(features)]
    clean, fp = plain_logits(net, [torch.cat(p) for p in zip(features, dropped)]).chunk(2)
    labels = torch.stack([s.gt_sem_seg.data[0] for s in batch['labeled']['data_samples']])
    pred_x, pred_w, pred_fp = clean[:2], clean[2:].detach(), fp[2:]
    loss_x = F.cross_entropy(pred_x, labels, ignore_index=255)
    conf, label = pred_w.softmax(1).max(1)
    ignored, mix_ignored = ~valid_of(batch, 'unlabeled'), ~valid_of(batch, 'unlabeled_mix')
    loss_fp = plain_loss(pred_fp, label, conf, ignored, threshold)
    strong = [plain_paste(plain_strong(weak, g), plain_strong(mix, m), boxes) for g, m, boxes in zip(
        [[False, True], [True, False]], [[True, True], [False, True]], DRAWS.boxes)]
    preds = plain_logits(net, net.backbone(torch.cat(strong))).chunk(2)
    losses = [plain_loss(p, plain_paste(label, mix_label, b), plain_paste(conf, mix_conf, b),
                         plain_paste(ignored, mix_ignored, b), threshold) for p, b in zip(preds, DRAWS.boxes)]
    total = (loss_x + 0.25 * losses[0] + 0.25 * losses[1] + 0.5 * loss_fp) / 2
    return total, dict(x=loss_x, s1=losses[0], s2=losses[1], fp=loss_fp), (conf >= threshold) & ~ignored


@pytest.mark.parametrize('kind, levels', [('DAFormerHead', {0, 1, 2, 3}), ('deeplabv3plus', {0, 3})])
def test_unimatch_is_the_formula_of_the_specification(kind, levels):
    method, batch = make(kind=kind), make_batch()
    threshold = 0.4
    method.threshold = threshold
    net = copy.deepcopy(method.student)
    assert set(decoder_levels(method.student.decode_head, 4)) == levels
    values, state = run_passes(method, batch, DRAWS)
    total, parts, mask = plain_unimatch(net, batch, threshold, levels)
    assert 0.05 < float(mask.float().mean()) < 0.9, 'the threshold must decide something here'
    expected = {'labeled.decode.loss_ce': parts['x'] / 2, 'strong1.loss_ce': parts['s1'] / 8,
                'strong2.loss_ce': parts['s2'] / 8, 'feature.loss_ce': parts['fp'] / 4}
    for name, value in expected.items():
        torch.testing.assert_close(values[name], value.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total_of(values), total.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(state.pseudo_weight > 0, mask)
    # backward pass by pass gives the gradients of one backward of the sum
    total.backward()
    for (name, ours), theirs in zip(method.student.named_parameters(), net.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f'{n}: {m}')
    for (name, ours), theirs in zip(method.student.named_buffers(), net.buffers()):
        torch.testing.assert_close(ours, theirs, msg=lambda m, n=name: f'{n}: BatchNorm saw other batches: {m}')


def test_fixmatch_is_half_supervised_and_half_strong():
    method, batch = make('FixMatch', cutmix=None, threshold=0.35), make_batch(mix=False)
    assert method.streams == ('labeled', 'unlabeled')
    net = copy.deepcopy(method.student)
    values, _ = run_passes(method, batch, SemiDraws(views=[[GRAY, StrongView()]]))
    clean = plain_logits(net, net.backbone(torch.cat([batch[s]['inputs'] for s in ('labeled', 'unlabeled')])))
    labels = torch.stack([s.gt_sem_seg.data[0] for s in batch['labeled']['data_samples']])
    conf, label = clean[2:].detach().softmax(1).max(1)
    strong = plain_logits(net, net.backbone(plain_strong(batch['unlabeled']['inputs'], [True, False])))
    loss_s = plain_loss(strong, label, conf, ~valid_of(batch, 'unlabeled'), 0.35)
    loss_x = F.cross_entropy(clean[:2], labels, ignore_index=255)
    torch.testing.assert_close(total_of(values), ((loss_x + loss_s) / 2).detach(), rtol=1e-5, atol=1e-6)
    assert set(values) == {'labeled.decode.loss_ce', 'labeled.decode.acc_seg', 'unlabeled.pseudo_label_share',
                           'strong1.loss_ce'}


def test_log_names_are_those_of_the_streams():
    method, batch = make('FixMatch', cutmix=None, labeled_stream='few', unlabeled_stream='many'), make_batch(mix=False)
    values, _ = run_passes(method, dict(few=batch['labeled'], many=batch['unlabeled']),
                           SemiDraws(views=[[GRAY, StrongView()]]))
    assert set(values) == {'few.decode.loss_ce', 'few.decode.acc_seg', 'many.pseudo_label_share', 'strong1.loss_ce'}


def test_teacher_makes_all_pseudo_labels_in_evaluation_mode():
    method, batch = make(pseudo_labels='teacher', threshold=0.), make_batch()
    with torch.no_grad():
        for p in method.teacher.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    statistics = [b.clone() for b in method.teacher.buffers()]
    _, state = run_passes(method, batch, DRAWS)
    frozen = copy.deepcopy(method.teacher.module).eval()
    for stream, found in (('unlabeled', state.own_pseudo), ('unlabeled_mix', state.mix_pseudo)):
        expected = plain_logits(frozen, frozen.backbone(batch[stream]['inputs'])).argmax(1)
        assert torch.equal(found.label, expected)
    assert all(torch.equal(a, b) for a, b in zip(statistics, method.teacher.buffers()))
    assert method.ema_pairs()['teacher'][0] is method.student and set(method.networks()) == {'student', 'teacher'}


def test_a_teacher_with_frozen_statistics_is_refused():
    """In evaluation mode it would normalize with the statistics it began with for ever."""
    method = make('FixMatch', pseudo_labels='teacher')
    assert method.teacher.buffer_policy == 'average'
    method.teacher.configure(0.999, True, 'batch')
    with pytest.raises(ValueError, match="buffers='average'"):
        method.passes(make_batch(), DRAWS)


def test_without_boxes_the_mix_stream_is_not_evaluated():
    method, batch = make(), make_batch()
    draws = dataclasses.replace(DRAWS, boxes=[[None, None]] * 2)
    assert [p.name for p in method.passes(batch, draws)] == ['labeled', 'strong']
    assert [p.name for p in method.passes(batch, DRAWS)] == ['mix_pseudo_labels', 'labeled', 'strong']
    values, state = run_passes(method, batch, draws)
    assert torch.equal(state.mixed_label, state.own_pseudo.label) and 'strong2.loss_ce' in values


def test_evaluation_mode_restores_every_module():
    net = make().student
    net.decode_head.fuse_layer.eval()
    before = [m.training for m in net.modules()]
    with pytest.raises(RuntimeError), evaluation_mode(net):
        assert not any(m.training for m in net.modules())
        raise RuntimeError
    assert [m.training for m in net.modules()] == before and True in before and False in before


def test_draws_repeat_and_a_step_is_a_function_of_its_context():
    method, batch = make(), make_batch()
    assert method.draw_step(batch, 7) == method.draw_step(batch, 7) != method.draw_step(batch, 8)
    draws = method.draw_step(batch, 7)
    assert [len(v) for v in draws.views + draws.mix_views + draws.boxes] == [2] * 6
    assert draws.views[0] != draws.views[1], 'the two strong views are independent draws'
    results = []
    for k in range(2):
        torch.manual_seed(k)
        method = make()
        optim = MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.1)), None)(method)
        values = method.train_step(make_batch(), optim, context=StepContext(0, 0, 3), preprocess=False)
        results.append((values, method.state_dict()))
    assert results[0][0] == results[1][0] and math.isfinite(results[0][0]['loss'])
    assert all(torch.equal(a, b) for a, b in zip(results[0][1].values(), results[1][1].values()))


def test_recorded_draws_replay():
    method, batch = make(), make_batch()
    images = method.strong_batch(batch, DRAWS)
    again = method.strong_batch(batch, copy.deepcopy(DRAWS))
    assert all(torch.equal(a, b) for a, b in zip(images, again))
    # outside the boxes the images are their own strong view, whose mean and std are those of the weak ones
    torch.testing.assert_close(images[0][0][:, 21:, :3], plain_strong(batch['unlabeled']['inputs'], [False, True])[
        0][:, 21:, :3])


def test_step_record_serves_pictures_and_statistics():
    method, batch = make(threshold=0.3), make_batch()
    method.recorder.request('test')
    optim = MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.1)), None)(method)
    method.train_step(batch, optim, draws=DRAWS, context=StepContext(0), preprocess=False)
    state = method.recorder.record.state
    assert {'pseudo_label', 'pseudo_weight', 'mixed_image', 'mixed_label', 'mixed_weight'} <= set(state.left())
    from mmseg_dg.visualization import step_grid
    palette = [[i * 60] * 3 for i in range(CLASSES)]
    assert step_grid(method.recorder.record, MEAN, STD, palette).shape[2] == 3


def test_bad_input_is_named():
    batch = make_batch()
    for arguments, words in ((dict(threshold=1.5), 'threshold'), (dict(pseudo_labels='both'), "'student' or"),
                             (dict(cutmix=dict(area_=1)), "area_"),
                             (dict(cutmix=dict(probability=2)), 'probability of CutMix'),
                             (dict(strong_view=dict(hue=1.)), 'hue'), (dict(feature_dropout=1.), 'feature_dropout')):
        with pytest.raises(ValueError, match=words):
            make(**arguments)
    method = make()
    del batch['unlabeled']['data_samples'][1].valid_pseudo_mask
    with pytest.raises(ValueError, match='PseudoLabelMargins'):
        run_passes(method, batch, DRAWS)
    batch = make_batch()
    batch['unlabeled_mix']['inputs'] = batch['unlabeled_mix']['inputs'][:1]
    with pytest.raises(ValueError, match='unlabeled_mix'):
        method.passes(batch, DRAWS)
    batch = make_batch()
    batch['labeled']['inputs'] = batch['labeled']['inputs'][..., :16]
    with pytest.raises(ValueError, match='one crop size'):
        method.passes(batch, DRAWS)
