"""DiffMatch: its debiased adjustment on a problem with a known answer, and its training step."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import init_model
from test_models.diffusion_networks import batch_of, build, images_of, labels_of, network_config
from torch.nn.functional import cross_entropy

from mmseg_dg.engine.hooks import ClassPriorHook, EMAUpdateHook
from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods import DiffMatchDraws
from mmseg_dg.methods.step import StepContext
from mmseg_dg.models.segmentors import MaskDiffusionEncoderDecoder, NoiseDraws, PriorAdjustment
from mmseg_dg.ops import PseudoLabels
from mmseg_dg.ops.diffusion import levels
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.segmentor_export import export_segmentor

PREPROCESSOR = dict(type='MultiStreamDataPreprocessor', mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True, pad_val=0,
                    seg_pad_val=255)


# ---------------------------------------------------------------------- the adjustment on a toy problem
PRIOR = torch.tensor([0.90, 0.08, 0.02], dtype=torch.float64)
#: p(image value | class), three classes x four image values
LIKELIHOOD = torch.tensor([[.4, .3, .2, .1], [.1, .5, .1, .3], [.25, .05, .6, .1]], dtype=torch.float64)
TOY_TIMES = torch.tensor([0.15, 1 / 3, 2 / 3, 0.95], dtype=torch.float64)


def toy_problem():
    """Discrete image values and a one-channel noisy code on a grid: (joint, balanced posterior), (T, K, X, Y)."""
    grid = torch.linspace(-4, 4, 41, dtype=torch.float64)
    alpha, sigma = levels(TOY_TIMES)
    codes = torch.tensor([-1., 0., 1.], dtype=torch.float64)
    distance = (grid[None, None] - alpha[:, None, None] * codes[None, :, None]) / sigma[:, None, None]
    noisy = torch.softmax(-distance**2 / 2, dim=2)  # q(y_t | class), (T, K, Y)
    evidence = LIKELIHOOD[None, :, :, None] * noisy[:, :, None, :]
    joint = PRIOR[None, :, None, None] * evidence
    return joint, evidence / evidence.sum(1, keepdim=True)


def adjustment(**kwargs):
    return PriorAdjustment(3, **dict(dict(weighting='one', tau=1., prior=PRIOR.tolist()), **kwargs))


def test_adjusted_sampling_gives_the_label_shift_posterior():
    joint, balanced = toy_problem()
    posterior = joint / joint.sum(1, keepdim=True)
    adjusted = adjustment(where='sampling').in_sampling(posterior.log(), TOY_TIMES)
    torch.testing.assert_close(adjusted.softmax(1), balanced, rtol=1e-9, atol=1e-12)
    assert (posterior - balanced).abs().max() > 0.5, 'the toy problem is skewed'


def test_minimizer_of_the_adjusted_loss_is_the_label_shift_posterior():
    """Logits of every cell are free parameters; the expected loss is minimized to convergence."""
    joint, balanced = toy_problem()
    module = adjustment(where='loss')
    logits = torch.zeros_like(joint, requires_grad=True)
    target = joint / joint.sum(1, keepdim=True)  # every cell counts alike: the minimizer per cell is the same
    for _ in range(60):  # Newton steps of bounded length on the logits of classes 1 and 2 of each cell
        adjusted = module.in_loss(logits, TOY_TIMES)
        gradient, = torch.autograd.grad(-(target * adjusted.log_softmax(1)).sum(), logits)
        p = adjusted.detach().softmax(1)[:, 1:].permute(0, 2, 3, 1)
        hessian = torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2) + 1e-14 * torch.eye(2)
        newton = torch.linalg.solve(hessian, gradient[:, 1:].permute(0, 2, 3, 1)).clamp(-1, 1)
        logits.data[:, 1:] -= newton.permute(0, 3, 1, 2)
    assert gradient.abs().max() < 1e-9
    torch.testing.assert_close(logits.detach().softmax(1), balanced, rtol=0, atol=1e-6)
    raw = module.in_sampling(logits, TOY_TIMES)
    assert torch.equal(raw, logits), "where='loss' changes nothing at sampling"


def test_network_samples_from_the_label_shift_posterior():
    """The same through the sampler of a network, whose denoiser gives the analytic biased posterior."""
    prior = [0.7, 0.2, 0.07, 0.03]
    network = build(adjustment=dict(where='sampling', weighting='one', prior=prior), sampling_steps=2)
    evidence = torch.rand(1, 4, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    biased = (torch.tensor(prior, dtype=torch.float64).view(1, 4, 1, 1) * evidence).log()
    network.denoiser.forward = lambda feature, noisy, t: biased
    sampled = network.sample(torch.zeros(1, 8, 16, 16), [0]).softmax(1)
    torch.testing.assert_close(sampled, evidence / evidence.sum(1, keepdim=True))


def test_weighting_by_time_and_tau():
    logits, t = torch.zeros(2, 3, 1, 1, dtype=torch.float64), torch.tensor([0.5, 1.], dtype=torch.float64)
    got = adjustment(where='loss', weighting='t', tau=0.5).in_loss(logits, t)[..., 0, 0]
    expected = torch.tensor([[0.25], [0.5]]) * (PRIOR / PRIOR.max()).log()
    torch.testing.assert_close(got, expected)


def test_half_precision_logits_are_corrected_in_float32():
    logits, t = torch.zeros(1, 3, 1, 1, dtype=torch.bfloat16), torch.ones(1, dtype=torch.float64)
    expected = (PRIOR / PRIOR.max()).log().float().view(1, 3, 1, 1)
    assert torch.equal(adjustment(where='loss').in_loss(logits, t), expected)
    assert torch.equal(adjustment(where='sampling').in_sampling(logits, t), -expected)
    assert adjustment(where='none').in_loss(logits, t) is logits


@pytest.mark.parametrize('where', ['loss', 'sampling'])
@pytest.mark.parametrize('weighting', ['t', 'one'])
def test_a_uniform_prior_changes_nothing(where, weighting):
    plain = build()
    uniform = build(adjustment=dict(where=where, weighting=weighting, prior='uniform', tau=3.))
    images, labels, draws = images_of(labels_of()), labels_of(), NoiseDraws([0.3, 0.8], [1, 2])
    with torch.no_grad():
        a, b = (n.segmentation_losses(images, labels, draws=draws).losses for n in (plain, uniform))
    assert a == b
    assert torch.equal(plain.predict_logits(images, [1, 2]), uniform.predict_logits(images, [1, 2]))
    skewed = build(adjustment=dict(where=where, weighting=weighting, prior=[0.9, 0.05, 0.04, 0.01]))
    with torch.no_grad():
        c = skewed.segmentation_losses(images, labels, draws=draws).losses
    assert (c['decode.loss_ce'] != a['decode.loss_ce']) == (where == 'loss')
    same = torch.equal(plain.predict_logits(images, [1, 2]), skewed.predict_logits(images, [1, 2]))
    assert same == (where == 'loss')


def test_prior_lives_in_checkpoints_and_must_be_counted():
    network = build(adjustment=dict(where='loss'))
    with pytest.raises(ValueError, match='ClassPriorHook'):
        network.segmentation_losses(images_of(labels_of()), labels_of())
    network.adjustment.set_class_counts(torch.tensor([95, 3, 1, 0]))
    other = build(adjustment=dict(where='sampling'))
    other.load_state_dict(network.state_dict())
    np.testing.assert_allclose(other.adjustment.probabilities, np.array([96, 4, 2, 1]) / 103)
    with pytest.raises(ValueError, match='3 class counts for 4 classes'):
        network.adjustment.set_class_counts(torch.ones(3))


def test_moving_prior_follows_pseudo_labels():
    module = PriorAdjustment(2, prior='ema', momentum=0.5, floor=0)
    module.set_class_counts(torch.tensor([2, 0]))  # 3/4, 1/4
    module.observe(torch.tensor([0, 2]))  # toward the mean of (3/4, 1/4) and (1/4, 3/4)
    np.testing.assert_allclose(module.probabilities, [0.625, 0.375])
    module.observe(torch.zeros(2))
    np.testing.assert_allclose(module.probabilities, [0.625, 0.375])
    frozen = PriorAdjustment(2, prior='labeled')
    frozen.set_class_counts(torch.tensor([2, 0]))
    before = frozen.prior.clone()
    frozen.observe(torch.tensor([0, 2]))
    assert torch.equal(frozen.prior, before)


# ---------------------------------------------------------------------- the method
def make(network=None, **kwargs):
    torch.manual_seed(0)
    kwargs = dict(dict(threshold=0., data_preprocessor=PREPROCESSOR), **kwargs)
    method = MODELS.build(dict(type='DiffMatch', network=network_config(**(network or {})), **kwargs))
    torch.nn.init.normal_(method.student.denoiser.conv_seg.weight, 0, 0.5)
    method.sync_copies()
    return method


@pytest.mark.parametrize('adjustment, hooks', [
    (dict(where='loss'), ('ClassPriorHook', )), (dict(where='sampling', prior='ema'), ('ClassPriorHook', )),
    (dict(where='loss', prior='uniform'), ()), (dict(where='none'), ()), (None, ())])
def test_a_counted_prior_needs_its_hook_before_iteration_0(adjustment, hooks):
    assert make(adjustment=adjustment).required_hooks == hooks


def step(method, batch, optimizer=None, iteration=0, **kwargs):
    optimizer = optimizer or MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.1)), None)(method)
    method.train()
    return method.train_step(batch, optimizer, context=StepContext(0, 0, iteration), preprocess=False, **kwargs)


def test_draws_are_seeds_and_reproducible():
    method, batch = make(cutmix=dict()), batch_of(mix=True)
    draws = method.draw_step(batch, 3)
    assert isinstance(draws, DiffMatchDraws) and repr(draws) == repr(method.draw_step(batch, 3))
    assert repr(draws) != repr(method.draw_step(batch, 4))
    everything = [draws.labeled, draws.feature, *draws.strong]
    assert all(len(d.times) == len(d.seeds) == 2 and all(0 <= t < 0.999 for t in d.times) for d in everything)
    assert len({t for d in everything for t in d.times}) == 8, 'independent times'
    assert len(draws.teacher_seeds) == len(draws.mix_teacher_seeds) == 2


def test_time_range_is_respected():
    network = build(time_range=(0.2, 0.4))
    times = network.draw_noise(200, torch.Generator().manual_seed(0)).times
    assert 0.2 <= min(times) < 0.22 and 0.38 < max(times) < 0.4


def test_passes_in_order_and_weights():
    method, batch = make(), batch_of()
    seen = []
    values = step(method, batch, on_backward=seen.append)
    assert seen == ['labeled', 'strong']
    names = {'labeled.decode.loss_ce', 'labeled.plain.loss_ce', 'feature.loss_ce', 'feature.plain.loss_ce',
             'strong1.loss_ce', 'strong1.plain.loss_ce', 'strong2.loss_ce', 'strong2.plain.loss_ce'}
    assert {k for k in values if 'loss' in k} == names | {'loss'}
    assert float(values['loss']) == pytest.approx(sum(float(values[n]) for n in names), rel=1e-6)
    assert any(k.startswith('strong.ce_t') for k in values) and any(k.startswith('labeled.ce_t') for k in values)


def test_log_names_are_those_of_the_streams():
    method, batch = make(labeled_stream='few', unlabeled_stream='many'), batch_of()
    values = step(method, dict(few=batch['labeled'], many=batch['unlabeled']))
    assert {'few.decode.loss_ce', 'few.plain.loss_ce', 'many.pseudo_label_share'} <= set(values)
    assert not any(name.startswith(('labeled.', 'unlabeled.')) for name in values)


def test_losses_equal_a_plain_recomputation():
    """Every term from the formulas of docs/behavior/diffmatch.md, on given draws, with padding and a threshold."""
    method = make(threshold=0.4, feature_dropout=0., norm_eval=True)
    batch, padding = batch_of(padding=24), 24
    draws = method.draw_step(batch, 7)
    student, values = method.student, step(method, batch, draws=draws,
                                           optimizer=MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.)),
                                                                       None)(method))
    method.eval()
    images = batch['unlabeled']['inputs']
    with torch.no_grad():
        confidence, pseudo = method.teacher.module.predict_logits(images, draws.teacher_seeds, 3).softmax(1).max(1)
        valid = torch.ones_like(pseudo, dtype=torch.bool)
        valid[..., 64 - padding:] = False
        share = ((confidence >= 0.4) & valid).sum() / valid.sum()
        assert 0 < share < 1
        assert float(values['unlabeled.pseudo_label_share']) == pytest.approx(float(share))
        for name, inputs, noise, weight in [
                ('feature', images, draws.feature, 0.25),
                *((f'strong{k + 1}', method.strong_images(images, draws.views[k]), draws.strong[k], 0.125)
                  for k in range(2))]:
            feature = student.image_feature(student.extract_feat(inputs))
            result = student.denoise(feature, torch.where(valid, pseudo, 255), noise)
            for key, logits, factor in (('loss_ce', result.logits, 1.),
                                        ('plain.loss_ce', student.decode_head.cls_seg(feature), 0.4)):
                entropy = cross_entropy(student.to_size(logits, (64, 64)), pseudo, reduction='none')
                expected = (entropy * (confidence >= 0.4) * valid).sum() / valid.sum()
                got = float(values[f'{name}.{key}'])
                assert got == pytest.approx(weight * factor * float(expected), rel=1e-4), (name, key)
        labeled = batch['labeled']
        truth = torch.stack([s.gt_sem_seg.data for s in labeled['data_samples']]).squeeze(1)
        own = student.segmentation_losses(labeled['inputs'], truth, draws=draws.labeled).losses
    assert float(values['labeled.decode.loss_ce']) == pytest.approx(0.5 * float(own['decode.loss_ce']), rel=1e-4)
    assert float(values['labeled.plain.loss_ce']) == pytest.approx(0.5 * float(own['plain.loss_ce']), rel=1e-4)


def test_a_residual_step_begins_as_plain_self_training():
    """The whole method: in every stream the denoiser's loss is the plain classifier's, and the teacher agrees."""
    method = make(network=dict(residual=True))
    torch.nn.init.zeros_(method.student.denoiser.conv_seg.weight)  # make() gives it opinions
    torch.nn.init.normal_(method.student.decode_head.conv_seg.weight, 0, 0.5)
    method.sync_copies()
    batch, optimizer = batch_of(), MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.1)), None)(method)
    values = step(method, batch, optimizer)
    for name in ('labeled.decode', 'feature', 'strong1', 'strong2'):
        plain = float(values[f'{name.removesuffix(".decode")}.plain.loss_ce'])
        assert float(values[f'{name}.loss_ce']) == pytest.approx(plain / 0.4, rel=1e-5) and plain > 0
    assert float(method.student.denoiser.conv_seg.weight.abs().max()) > 0, 'and then learns to differ'
    later = step(method, batch, optimizer, iteration=1)
    assert float(later['strong1.loss_ce']) != pytest.approx(float(later['strong1.plain.loss_ce']) / 0.4, rel=1e-5)


def test_gradients_reach_the_student_only():
    method = make()
    step(method, batch_of())
    assert [n for n, p in method.student.named_parameters() if p.grad is None] == []
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())


def test_step_is_a_function_of_its_context_and_of_given_draws():
    results = []
    for i in range(2):
        method, batch = make(), batch_of()
        torch.rand(7 * i)
        results.append((step(method, batch, iteration=4), method.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(a, b) for a, b in zip(results[0][1].values(), results[1][1].values()))


def test_without_confident_pixels_the_step_still_trains():
    values = step(make(threshold=1.0), batch_of())
    assert all(float(values[f'{name}.loss_ce']) == 0 for name in ('feature', 'strong1', 'strong2'))
    assert float(values['labeled.decode.loss_ce']) > 0
    assert not any(k.startswith('strong.ce_t') for k in values)


def test_streams_can_be_left_out():
    seen = []
    values = step(make(view_weights=(0.25, ), feature_weight=0.), batch_of(), on_backward=seen.append)
    assert seen == ['labeled', 'strong'] and 'feature.loss_ce' not in values and 'strong2.loss_ce' not in values
    seen.clear()
    values = step(make(view_weights=()), batch_of(), on_backward=seen.append)
    assert seen == ['labeled'] and 'feature.loss_ce' in values


def test_cutmix_pastes_sampled_labels():
    method, batch = make(cutmix=dict(probability=1.0)), batch_of(mix=True)
    assert method.streams == ('labeled', 'unlabeled', 'unlabeled_mix')
    method.recorder.request('test')
    step(method, batch)
    record = method.recorder.record
    own, mix, boxes = record.state.own_pseudo, record.state.mix_pseudo, record.draws.boxes[0]
    assert isinstance(mix, PseudoLabels)
    for image, (y1, y2, x1, x2) in enumerate(boxes):
        expected = own.label[image].clone()
        expected[y1:y2, x1:x2] = mix.label[image, y1:y2, x1:x2]
        assert torch.equal(record.state.mixed_label[image], expected)


def test_dropped_channels_leave_labeled_images_alone():
    method, levels_ = make(feature_dropout=0.9), [torch.ones(4, 50, 2, 2)] * 4
    dropped = method._dropped(levels_, 2)
    for level in dropped:
        assert (level[:2] == 1).all()
        assert 0.7 < float((level[2:] == 0).float().mean()) < 1


def test_teacher_follows_the_student_with_its_batch_statistics():
    method = make()
    hook = EMAUpdateHook(beta=0.999, when='after_step', ramp=True, buffers='average')
    runner = SimpleNamespace(model=method, iter=0)
    hook.before_train(runner)
    for iteration in range(2):
        step(method, batch_of(), iteration=iteration)
        hook.after_train_iter(runner, iteration)
    name = 'decode_head.fuse_layer.bn.running_mean'
    student, teacher = (dict(n.named_buffers())[name] for n in (method.student, method.teacher.module))
    assert not torch.equal(student, torch.zeros_like(student)) and not torch.equal(student, teacher)
    assert int(method.teacher.steps) == 2
    with pytest.raises(ValueError, match="buffers='average'"):
        EMAUpdateHook(buffers='batch').before_train(runner)
        method.passes(batch_of(), None)


def test_adjustment_of_pseudo_labels_is_an_option():
    values = []
    for where, on_pseudo in (('none', True), ('loss', True), ('loss', False)):
        method = make(adjustment=dict(where=where, prior=[0.9, 0.05, 0.04, 0.01], on_pseudo_labels=on_pseudo))
        values.append(step(method, batch_of()))
    none, everywhere, labeled = ([float(v[f'{n}.loss_ce']) for n in ('labeled.decode', 'feature')] for v in values)
    assert everywhere[0] == labeled[0] != none[0]
    assert everywhere[1] != labeled[1] == none[1]


def test_moving_prior_is_one_for_student_and_teacher():
    method = make(adjustment=dict(where='loss', prior='ema', momentum=0.5))
    for network in method.networks().values():
        network.adjustment.set_class_counts(torch.tensor([100, 10, 10, 1]))
    before = method.student.adjustment.prior.clone()
    step(method, batch_of())
    after = [n.adjustment.prior for n in method.networks().values()]
    assert not torch.equal(before, after[0]) and torch.equal(*after)
    assert float(after[0].sum()) == pytest.approx(1)


class Loaders:
    names = ['labeled', 'unlabeled']

    def __getitem__(self, name):
        return SimpleNamespace(dataset=name)


def test_class_prior_hook_counts_the_labeled_stream(monkeypatch):
    method, counted = make(adjustment=dict(where='loss')), []

    def count(dataset, cache_dir=None):
        counted.append(dataset)
        return SimpleNamespace(totals=np.array([70, 20, 9, 0]), class_names=tuple('abcd'))

    monkeypatch.setattr('mmseg_dg.engine.hooks.class_prior.class_statistics', count)
    runner = SimpleNamespace(model=method, train_loop=SimpleNamespace(dataloader=Loaders()), iter=0)
    ClassPriorHook().before_train(runner)
    for network in method.networks().values():
        np.testing.assert_allclose(network.adjustment.probabilities, np.array([71, 21, 10, 1]) / 103)
    runner.iter = 5
    ClassPriorHook().before_train(runner)
    assert counted == ['labeled'], 'a resumed run keeps the prior of its checkpoint'
    runner.iter = 0
    ClassPriorHook().before_train(runner)
    assert counted == ['labeled'] * 2, 'weights of another run do not bring their prior'
    with pytest.raises(ValueError, match="no stream 'few_labels'"):
        ClassPriorHook('few_labels').before_train(SimpleNamespace(model=make(), train_loop=runner.train_loop, iter=0))
    with pytest.raises(ValueError, match='remove the hook'):
        ClassPriorHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1)))


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(teacher_steps=0), 'teacher_steps=0'), (dict(feature_dropout=1.), 'feature_dropout'),
    (dict(adjustment=dict(where='loss'), network=dict(adjustment=dict(where='loss'))), 'twice'),
    (dict(network=dict(sampling_steps=0)), 'sampling_steps=0'), (dict(threshold=2), 'threshold')])
def test_bad_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)


def test_another_network_is_refused(tiny_config):
    with pytest.raises(ValueError, match='MaskDiffusionEncoderDecoder'):
        MODELS.build(dict(type='DiffMatch', network=tiny_config().model.network))


def test_a_few_steps_learn_two_images():
    method = make(network=dict(denoiser=dict(time_input='t')), threshold=0.9)
    assert isinstance(method.student, MaskDiffusionEncoderDecoder)
    optimizer = MergedParamGroups(dict(optimizer=dict(type='AdamW', lr=1e-2)), None)(method)
    hook = EMAUpdateHook(beta=0.8, when='after_step', ramp=True, buffers='average')
    runner = SimpleNamespace(model=method, iter=0)
    hook.before_train(runner)
    batch, losses = batch_of(), []
    for iteration in range(14):
        values = step(method, batch, optimizer, iteration)
        hook.after_train_iter(runner, iteration)
        losses.append(float(values['labeled.plain.loss_ce'] + values['labeled.decode.loss_ce']))
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:2])


@pytest.mark.parametrize('layer', ['deformable', 'conv'])
def test_half_precision_gives_nearly_the_same_losses(layer):
    values = []
    for kwargs in ({}, dict(type='BF16OptimWrapper')):
        method = make(network=dict(denoiser=dict(layer=layer)))
        optimizer = MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.1), **kwargs), None)(method)
        values.append(step(method, batch_of(), optimizer))
    full, half = values
    assert float(half['labeled.decode.loss_ce']) == pytest.approx(float(full['labeled.decode.loss_ce']), rel=0.05)
    assert all(torch.isfinite(v).all() for v in half.values())


# ---------------------------------------------------------------------- its network alone
@pytest.mark.parametrize('name', ['student', 'teacher'])
def test_exported_network_keeps_denoiser_and_adjustment(tmp_path, name):
    """Alone it samples as inside its method, adjusted by the counted class prior; and it starts another training."""
    model = dict(type='DiffMatch', network=network_config(), data_preprocessor=PREPROCESSOR,
                 adjustment=dict(where='sampling', prior='labeled'))
    Config(dict(default_scope='mmseg_dg', model=model)).dump(tmp_path / 'my_run.py')
    method = MODELS.build(model).eval()
    for seed, network in enumerate(method.networks().values()):
        torch.manual_seed(seed)
        torch.nn.init.normal_(network.denoiser.conv_seg.weight, 0, 0.5)
        network.adjustment.set_class_counts(torch.tensor([700, 200, 50, 50]))
    torch.save(dict(state_dict=method.state_dict()), tmp_path / 'iter_8.pth')
    export = export_segmentor(tmp_path / 'iter_8.pth', tmp_path / 'plain.pth', config=tmp_path / 'my_run.py',
                              network=name)
    images = images_of(labels_of())
    alone = init_model(str(export.config), str(export.checkpoint), device='cpu')
    expected = method.networks()[name](images)
    assert alone.adjustment.where == 'sampling' and torch.equal(alone(images), expected)
    for network in method.networks().values():
        network.adjustment.set_class_counts(torch.ones(4))
    assert not torch.equal(method.networks()[name](images), expected), 'the prior matters in this test'
    other = MODELS.build(model).eval()
    other.load_state_dict(torch.load(tmp_path / 'plain.pth')['state_dict'], strict=False)
    assert all(torch.equal(network(images), expected) for network in other.networks().values())
