"""DeFT in float64 on a real ResNet-50 under the paper's decoder, narrow so that a step is quick."""
import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_dg.engine.optim import ComponentParamGroups
from mmseg_dg.methods.deft import parameter_distance
from mmseg_dg.methods.step import StepContext
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.registry import MODELS

CLASSES = 5
PREPROCESSOR = dict(type='MultiStreamDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True)


def network(**changes):
    head = dict(type='DeFTDeepLabV3PlusHead', in_channels=[16, 128], channels=8, c1_channels=4, num_classes=CLASSES,
                loss_decode=dict(type='CrossEntropyLoss'))
    return dict(dict(
        type='EncoderDecoder',
        backbone=dict(type='ResNet', depth=50, base_channels=4, stem_channels=4, strides=(1, 2, 2, 1),
                      dilations=(1, 1, 1, 2), contract_dilation=False, norm_cfg=dict(type='BN'), norm_eval=False),
        decode_head=head, train_cfg=dict(), test_cfg=dict(mode='whole')), **changes)


def build(handed_over=False, seed=0, kind='DeFT', **arguments):
    torch.manual_seed(seed)
    if kind == 'DeFT':
        arguments.setdefault('warmup_iters', 2)
    method = MODELS.build(dict(type=kind, network=network(), data_preprocessor=PREPROCESSOR, **arguments))
    method.double().train()
    if handed_over:
        method.hand_over()
    return method


def batch(count=2, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count, 1, size // 8, size // 8), generator=generator)
    labels = labels.repeat_interleave(8, 2).repeat_interleave(8, 3)
    labels[:, :, :2] = 255
    images = torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64)
    return dict(source=dict(inputs=images, data_samples=[SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels]))


def optimizer(method, **options):
    settings = dict(dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4), **options)
    return ComponentParamGroups(dict(type='OptimWrapper', optimizer=settings))(method)


def step(method, optim, seed=0):
    return method.train_step(batch(seed=seed), optim, context=StepContext(seed=seed), preprocess=False)


def average(method, beta, **options):
    for source, ema in method.ema_pairs().values():
        ema.configure(beta, False, options.get('buffers', 'batch'), options.get('debias', False))
        ema.update_parameters(source)


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()]).clone()


def assert_same(module, expected):
    state = module.state_dict()
    assert state.keys() == expected.keys()
    for k, v in state.items():
        assert torch.equal(v, expected[k]), k


def components(method):
    """(E_a, D_a, E_r, D_r)."""
    (encoder, retentive_encoder), (decoder, retentive_decoder) = method.ema_pairs().values()
    return encoder, decoder, retentive_encoder.module, retentive_decoder.module


def buffers(module):
    return {k: v.clone() for k, v in module.named_buffers()}


# ---------------------------------------------------------------- docs/behavior/deft.md#sanity-checks
def test_pairs_after_the_hand_over_differ_by_statistics_only():
    """docs/behavior/deft.md#sanity-checks, 1."""
    method = build()
    optim = optimizer(method)
    for i in range(2):
        step(method, optim, i)
    method.hand_over()
    method.eval()
    images = batch()['source']['inputs']
    nets = method.networks()
    with torch.no_grad():
        assert not torch.allclose(nets['retentive'](images), nets['adaptive'](images))
        adaptive, _, retentive, _ = components(method)
        adaptive.load_state_dict(retentive.state_dict())
        assert torch.equal(nets['retentive'](images), nets['adaptive'](images))


def test_one_step_moves_the_retentive_components_by_one_minus_beta():
    """docs/behavior/deft.md#sanity-checks, 2."""
    method = build(handed_over=True)
    before = [flat(module) for module in components(method)]
    step(method, optimizer(method))
    average(method, 0.9999)
    after = [flat(module) for module in components(method)]
    for adaptive, retentive in ((0, 2), (1, 3)):
        moved = (after[adaptive] - before[adaptive]).norm()
        assert moved > 1e-3
        torch.testing.assert_close((after[retentive] - before[retentive]).norm(), 1e-4 * moved, rtol=1e-9, atol=0)


def test_gradients_of_the_two_paths_are_disjoint():
    """docs/behavior/deft.md#sanity-checks, 3; gradients are compared with those of separate graphs."""
    method = build(handed_over=True)
    encoder, decoder, retentive_encoder, retentive_decoder = components(method)
    data = batch()
    draws = method.draw_step(data, 0)
    passes = {p.name: p for p in method.passes(data, draws)}
    assert list(passes) == ['encoder', 'decoder']
    passes['encoder'].fn().losses['encoder.decode.loss_ce'].backward()
    assert all(p.grad is not None for p in encoder.parameters())
    assert encoder['backbone'].conv1.weight.grad.abs().sum() > 0
    for module in (decoder, retentive_encoder, retentive_decoder):
        assert all(p.grad is None for p in module.parameters())
    gradients = [p.grad.clone() for p in encoder.parameters()]
    passes['decoder'].fn().losses['decoder.decode.loss_ce'].backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, encoder.parameters()))
    assert all(p.grad is not None for p in decoder.parameters())
    assert decoder['decode_head'].conv_seg.weight.grad.abs().sum() > 0
    for module in (retentive_encoder, retentive_decoder):
        assert all(p.grad is None for p in module.parameters())


def test_encoder_gradient_flows_through_the_retentive_decoder():
    """dL_E/dE_a by finite differences along one direction, D_r different from D_a."""
    method = build(handed_over=True)
    with torch.no_grad():
        for p in method.decoder.parameters():
            p.mul_(1.1)
    data, weight = batch(), method.student.backbone.layer1[0].conv2.weight

    def loss():
        return method.passes(data, method.draw_step(data, 0))[0].fn().losses['encoder.decode.loss_ce']

    loss().backward()
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected, size = (weight.grad * direction).sum(), 1e-8  # BatchNorm over two values is steep
    with torch.no_grad():
        weight.add_(size * direction)
        upper = loss()
        weight.sub_(2 * size * direction)
        lower = loss()
    torch.testing.assert_close((upper - lower) / (2 * size), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('beta', [0., 1.])
def test_extreme_betas(beta):
    """docs/behavior/deft.md#sanity-checks, 4."""
    method = build(handed_over=True)
    start = [flat(module) for module in components(method)]
    optim = optimizer(method)
    for i in range(3):
        step(method, optim, i)
        average(method, beta)
        now = [flat(module) for module in components(method)]
        assert not torch.equal(now[0], start[0]) and not torch.equal(now[1], start[1])
        for adaptive, retentive in ((0, 2), (1, 3)):
            assert torch.equal(now[retentive], start[retentive] if beta else now[adaptive])


# ---------------------------------------------------------------- averages
@pytest.mark.ci
def test_closed_form_after_fifty_steps():
    """docs/behavior/deft.md#step-5-averages-biased-toward-the-initialization: b^T init + (1-b) sum b^(T-t) a_t;
    debiased, the weights are scaled to sum to one."""
    method, beta, total = build(handed_over=True), 0.97, 50
    debiased = [EMATeacher(source, beta, ramp=False, debias=True) for source, _ in method.ema_pairs().values()]
    start = [flat(module) for module in components(method)[:2]]
    optim, trace = optimizer(method, lr=0.05), []
    for i in range(total):
        step(method, optim, i)
        average(method, beta)
        for ema, source in zip(debiased, components(method)):
            ema.update_parameters(source)
        trace.append([flat(module) for module in components(method)[:2]])
    weights = [beta**(total - t) * (1 - beta) for t in range(1, total + 1)]
    for k, ema in enumerate(debiased):
        learned = sum(w * values[k] for w, values in zip(weights, trace))
        torch.testing.assert_close(flat(components(method)[2 + k]), beta**total * start[k] + learned, rtol=1e-11,
                                   atol=1e-13)
        expected = (beta**total * (1 - beta) * start[k] + learned) / (beta**total * (1 - beta) + sum(weights))
        torch.testing.assert_close(flat(ema.module), expected, rtol=1e-11, atol=1e-13)
        assert int(ema.steps) == total and ema.steps.dtype == torch.int64
    assert [int(ema.steps) for _, ema in method.ema_pairs().values()] == [total] * 2


@pytest.mark.parametrize('arguments', [dict(beta=1.), dict(beta=0.9, ramp=True)])
def test_debiasing_excludes_what_it_contradicts(arguments):
    with pytest.raises(ValueError, match='set ramp=False and beta < 1'):
        EMATeacher(nn.Linear(1, 1), **dict(dict(ramp=False), **arguments), debias=True)


def test_weights_of_the_debiased_average():
    """The released code's recipe: times 1 - b^(t+1), average, divided by 1 - b^(t+2)."""
    ema = EMATeacher(nn.Linear(1, 1), 0.9999, ramp=False, debias=True)
    for t in (0, 1, 50, 10**5):
        assert ema.beta_at(t) == pytest.approx(0.9999 * (1 - 0.9999**(t + 1)) / (1 - 0.9999**(t + 2)), rel=1e-9)
    assert ema.beta_at(0) == pytest.approx(0.5, abs=1e-4), 'the initial weights count as one value'


# ---------------------------------------------------------------- stages
def test_warm_up_trains_the_decoder_alone():
    method = build()
    weights, statistics = [flat(m) for m in components(method)], [buffers(m) for m in components(method)]
    values = step(method, optimizer(method))
    assert set(values) == {'loss', 'warmup.decode.loss_ce', 'warmup.decode.acc_seg'}
    now = [flat(m) for m in components(method)]
    assert [torch.equal(a, b) for a, b in zip(weights, now)] == [True, False, True, True]
    moved = [any(not torch.equal(b[k], v) for k, v in a.items())
             for a, b in zip(statistics, (buffers(m) for m in components(method)))]
    assert moved == [False, True, True, False], 'the frozen encoder is in training mode'
    assert all(p.grad is None for p in method.student.backbone.parameters())


def test_hand_over_copies_the_decoder_with_its_statistics():
    method = build(distance=dict(weight_decoder=1e-3))
    optim = optimizer(method)
    step(method, optim)
    encoder, decoder, retentive_encoder, retentive_decoder = components(method)
    before = copy.deepcopy(retentive_encoder.state_dict())
    method.encoder.steps.fill_(3)
    method.hand_over()
    assert_same(retentive_decoder, decoder.state_dict())
    assert_same(method.decoder_init, method.student.decode_head.state_dict())
    assert_same(retentive_encoder, before)
    assert int(method.encoder.steps) == int(method.decoder.steps) == 0
    assert method.handed_over and method.averages_follow


def test_the_decoder_in_training_is_judged_until_the_hand_over():
    method = build()
    step(method, optimizer(method))
    nets = method.networks()
    assert nets['retentive'].decode_head is method.student.decode_head
    assert nets['retentive'].backbone is method.encoder.module['backbone']
    method.hand_over()
    nets = method.networks()
    assert nets['retentive'].decode_head is method.decoder.module['decode_head']
    assert nets['encoder_adaptive'].backbone is method.student.backbone
    assert nets['encoder_adaptive'].decode_head is method.decoder.module['decode_head']
    assert nets['decoder_adaptive'].backbone is method.encoder.module['backbone']
    assert nets['decoder_adaptive'].decode_head is method.student.decode_head
    assert method.student.backbone is not method.encoder.module['backbone'], 'the views leave the student alone'


def test_no_warm_up():
    method = build(warmup_iters=0)
    assert method.handed_over
    assert torch.equal(flat(components(method)[1]), flat(components(method)[3])), 'both decoders start alike'
    assert 'encoder.decode.loss_ce' in step(method, optimizer(method))


def test_reference_decoder_of_a_run_without_warm_up():
    """``load_from`` a plain segmentor: the distance is to its decoder, not to the random one it replaced."""
    method = build(warmup_iters=0, distance=dict(weight_decoder=1e-3))
    method.load_state_dict(build(seed=1).student.state_dict(), strict=False)
    method.begin_warmup(0, 0)
    assert_same(method.decoder_init, method.student.decode_head.state_dict())
    reference = copy.deepcopy(method.decoder_init.state_dict())
    step(method, optimizer(method))
    average(method, 0.9)
    for iteration in (0, 1):  # weights of a run that is under way, or its resume
        method.begin_warmup(0, iteration)
        assert_same(method.decoder_init, reference)


def test_resumed_run_cannot_return_to_the_warm_up():
    method = build(handed_over=True)
    method.begin_warmup(2, 3)
    with pytest.raises(ValueError, match='iteration 3 is beyond the hand-over, but the decoder warm-up should last 5'):
        method.begin_warmup(5, 3)


# ---------------------------------------------------------------- BatchNorm
def features_of(module, run):
    """Inputs of the first BatchNorm of a module in every call during ``run``."""
    layer = next(m for m in module.modules() if isinstance(m, _BatchNorm))
    seen = []
    handle = layer.register_forward_pre_hook(lambda m, x: seen.append(x[0].detach().clone()))
    run()
    handle.remove()
    return layer, seen


def followed(layer_before, seen, momentum=0.1):
    mean, var = layer_before
    for x in seen:
        mean = (1 - momentum) * mean + momentum * x.mean((0, 2, 3))
        var = (1 - momentum) * var + momentum * x.var((0, 2, 3), unbiased=True)
    return mean, var


@pytest.mark.parametrize('policy', ['batch', 'own', 'copy', 'average'])
@pytest.mark.parametrize('part', ['encoder', 'decoder'])
def test_statistics_of_the_retentive_components(policy, part):
    method, beta = build(handed_over=True), 0.75
    source, ema = method.ema_pairs()[part]
    for _, each in method.ema_pairs().values():
        each.configure(beta, False, policy)
        each.module.train()
    method.train()
    layer = next(m for m in ema.module.modules() if isinstance(m, _BatchNorm))
    before = layer.running_mean.clone(), layer.running_var.clone()
    optim = optimizer(method)

    def run():
        step(method, optim)
        ema.update_parameters(source)

    _, seen = features_of(ema.module, run)
    assert len(seen) == 1, 'each retentive component sees one batch per step'
    student = next(m for m in source.modules() if isinstance(m, _BatchNorm))
    theirs = student.running_mean, student.running_var
    expected = {
        'batch': followed(before, seen), 'own': followed(before, seen), 'copy': theirs,
        'average': tuple(beta * a + (1 - beta) * b for a, b in zip(before, theirs))
    }[policy]
    torch.testing.assert_close(layer.running_mean, expected[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(layer.running_var, expected[1], rtol=1e-9, atol=1e-12)


def test_batch_statistics_normalize_all_four_components():
    method = build(handed_over=True)
    for module in components(method):
        for layer in module.modules():
            if isinstance(layer, _BatchNorm):
                assert layer.training
                layer.running_mean.fill_(1e6)  # would spoil everything if it were used
    assert float(step(method, optimizer(method))['loss']) < 20


# ---------------------------------------------------------------- distance
def test_distance_regularization():
    method = build(distance=dict(weight_encoder=0.5, weight_decoder=0.25))
    assert 'warmup.decode.loss_ce' in step(method, optimizer(method)), 'none in the warm-up'
    method.hand_over()
    plain = build(handed_over=True)
    plain.student.load_state_dict(method.student.state_dict())
    plain.decoder.load_state_dict(method.decoder.state_dict())
    plain.encoder.load_state_dict(method.encoder.state_dict())
    data = batch()
    with torch.no_grad():
        for m in (method, plain):
            m.zero_grad()
            for p in m.student.parameters():
                p.add_(0.01)
    for m in (method, plain):
        for p in m.passes(data, m.draw_step(data, 0)):
            values = p.fn()
            values.total().backward()
    for part, reference, weight in (('backbone', method.encoder_init, 0.5),
                                    ('decode_head', method.decoder_init, 0.25)):
        ours, other = getattr(method.student, part), dict(getattr(plain.student, part).named_parameters())
        for name, p in ours.named_parameters():
            difference = p.detach() - dict(reference.named_parameters())[name]
            assert difference.abs().max() > 0
            torch.testing.assert_close(p.grad - other[name].grad, weight * difference, rtol=1e-6, atol=1e-10)
    assert not any(p.requires_grad for p in method.encoder_init.parameters())


@pytest.mark.parametrize('form, value, slope', [('squared', 6., 2.), ('l2', 12.**0.5, 2. / 12.**0.5), ('l1', 6., 1.)])
def test_forms_of_the_distance(form, value, slope):
    """Three parameters, each 2 away; and nothing away, where no form may give a gradient that is not a number."""
    a, b = nn.Linear(2, 1).double(), nn.Linear(2, 1).double()
    for start, expected, gradient in ((3., value, slope), (1., 0., 0.)):
        with torch.no_grad():
            for module, filled in ((a, start), (b, 1.)):
                for p in module.parameters():
                    p.fill_(filled)
        a.zero_grad()
        found = parameter_distance(a, b, form)
        found.backward()
        assert float(found.detach()) == pytest.approx(expected)
        assert all(torch.allclose(p.grad, torch.full_like(p, gradient)) for p in a.parameters())


def test_a_method_uses_the_form_of_its_config():
    sizes = {}
    for form in ('squared', 'l2', 'l1'):
        method = build(distance=dict(weight_decoder=0.25, form=form))
        method.hand_over()
        with torch.no_grad():
            for p in method.student.decode_head.parameters():
                p.add_(0.01)
        values = method.passes(batch(), method.draw_step(batch(), 0))[1].fn().named()
        sizes[form] = float(values['decoder.loss_distance'].detach())
    count = sum(p.numel() for p in method.student.decode_head.parameters())
    assert sizes == pytest.approx(
        dict(squared=0.25 * 0.5 * count * 1e-4, l2=0.25 * count**0.5 * 1e-2, l1=0.25 * count * 1e-2), rel=1e-3)


# ---------------------------------------------------------------- style
@pytest.mark.parametrize('kind', ['DeFT', 'JointFinetuning'])
def test_style_augmentation_doubles_the_batch(kind, monkeypatch):
    method = build(kind=kind, style_augmentation=dict(type='LABStyle'))
    method.before_training()
    data = batch()
    draws = method.draw_step(data, 5)
    assert draws.style.mean.shape == (2, 3)
    seen = []
    monkeypatch.setattr(method.student.decode_head, 'fused_features',
                        lambda x, f=method.student.decode_head.fused_features: seen.append(len(x[0])) or f(x))
    for p in method.passes(data, draws):
        p.fn()
    assert seen == [4]
    again = method.draw_step(data, 5)
    assert torch.equal(again.style.mean, draws.style.mean) and again.style.noise_seed == draws.style.noise_seed


def test_style_augmentation_needs_the_normalization():
    method = MODELS.build(dict(type='DeFT', network=network(), style_augmentation=dict(type='LABStyle')))
    with pytest.raises(ValueError, match='undoes the normalization'):
        method.before_training()


# ---------------------------------------------------------------- checkpoints
def test_plain_segmentor_fills_all_parts():
    method = build(distance=dict(weight_encoder=1e-3))
    imagenet = copy.deepcopy(method.encoder_init.state_dict())
    other = build(seed=1)
    plain = {k: v.clone() for k, v in other.student.state_dict().items()}
    result = method.load_state_dict(dict(plain), strict=False)
    assert not result.unexpected_keys
    for net in method.networks().values():
        assert_same(net, plain)
    assert_same(method.decoder.module['decode_head'],
                {k[len('decode_head.'):]: v for k, v in plain.items() if k.startswith('decode_head.')})
    assert_same(method.encoder_init, imagenet)  # the reference stays the pretrained encoder


def test_own_checkpoint_is_strict_and_complete():
    method = build(distance=dict(weight_encoder=1e-3))
    optim = optimizer(method)
    step(method, optim)
    method.hand_over()
    step(method, optim)
    average(method, 0.5)
    other = build(seed=3, distance=dict(weight_encoder=1e-3))
    other.load_state_dict(method.state_dict(), strict=True)
    assert other.handed_over and int(other.decoder.steps) == 1
    state, loaded = method.state_dict(), other.state_dict()
    for k, v in state.items():
        assert torch.equal(loaded[k], v), k
    assert {'stage', 'encoder.steps', 'decoder.steps'} <= set(state)
    weights = sum(v.numel() for k, v in state.items() if not k.startswith(('encoder_init', 'decoder_init')))
    single = sum(v.numel() for v in method.student.state_dict().values())
    assert 2 * single < weights < 2.01 * single, 'adaptive and retentive pair, nothing twice'


def test_another_architecture_is_refused():
    method, other = build(), build(seed=1)
    state = other.student.state_dict()
    state['decode_head.conv_seg.weight'] = torch.zeros(7, 8, 1, 1)
    with pytest.raises(ValueError, match='holds another network'):
        method.load_state_dict(state)


# ---------------------------------------------------------------- other networks
def test_neck_belongs_to_the_encoder():
    changes = dict(neck=dict(type='FPN', in_channels=[16, 32, 64, 128], out_channels=8, num_outs=4),
                   decode_head=dict(type='DAFormerHead', in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=8,
                                    embed_channels=8, fusion=dict(type='conv1x1'), num_classes=CLASSES,
                                    norm_cfg=dict(type='BN'), align_corners=False, dropout_ratio=0.1,
                                    loss_decode=dict(type='CrossEntropyLoss')))
    torch.manual_seed(0)
    method = MODELS.build(dict(type='DeFT', network=network(**changes), warmup_iters=0))
    method.double().train()
    step(method, optimizer(method))
    assert {k.split('.')[0] for k in method.encoder.module.state_dict()} == {'backbone', 'neck'}
    assert all(p.grad is not None for p in method.student.neck.lateral_convs.parameters())
    groups = optimizer(method).optimizer.param_groups
    members = {g['component']: {id(p) for p in g['params']} for g in groups}
    assert {id(p) for p in method.student.neck.parameters()} <= members['encoder']
    assert members['decoder'] == {id(p) for p in method.student.decode_head.parameters()}
    assert not method.decoder.module['decode_head'].dropout.training
    assert method.student.decode_head.dropout.training


@pytest.mark.parametrize('change, match', [
    (dict(decode_head=None), 'without decode_head'),
    (dict(auxiliary_head=dict(type='FCNHead')), 'no auxiliary heads'),
    (dict(backbone=None), 'without backbone'),
])
def test_unsuitable_networks(change, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='DeFT', network=network(**change)))


@pytest.mark.parametrize('arguments, match', [
    (dict(warmup_iters=-1), 'warmup_iters=-1'),
    (dict(distance=dict(weight=1.)), 'weight_encoder and weight_decoder'),
    (dict(distance=dict(weight_encoder=-1.)), 'weight_encoder and weight_decoder'),
    (dict(distance=dict(weight_encoder=1., form='l3')), "form is one of .*got 'l3'"),
    (dict(style_augmentation=dict(type='LABStyle', std=(0.4, 0.1))), 'is no range'),
    (dict(style_augmentation=dict(type='LABStyle', noise=-1)), 'must not be negative'),
])
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='DeFT', network=network(), **arguments))


def test_unknown_pair_is_refused_before_training():
    with pytest.raises(ValueError, match="evaluate='teacher' is not a network of DeFT"):
        build(evaluate='teacher').before_training()


def test_baseline_is_supervised_training():
    joint, plain = build(kind='JointFinetuning'), build(kind='Supervised')
    for method in (joint, plain):
        step(method, optimizer(method))
    ours = joint.student.state_dict()
    for k, v in plain.student.state_dict().items():
        assert torch.equal(ours[k], v), k
