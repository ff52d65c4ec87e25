"""Style hallucination: the encoder's part, the method, the hook, and an exact resume."""
import copy
import inspect
import random

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from test_models.hrda_networks import tiny

from mmseg_dg.engine.hooks import StylePrototypeHook
from mmseg_dg.methods.step import StepContext, StepState, run_step
from mmseg_dg.models.segmentors import reference_features
from mmseg_dg.models.segmentors.network import style_images
from mmseg_dg.ops import channel_statistics, style_consistency
from mmseg_dg.registry import HOOKS, MODELS


def encoder(**style):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4,
                              drop_path_rate=0., style_hallucination=style))
    fill(model)
    return model


def fill(backbone):
    styles = backbone.style_hallucination
    shape = styles.proto_mean.shape
    generator = torch.Generator().manual_seed(3)
    styles.set_prototypes(torch.randn(shape, generator=generator), torch.rand(shape, generator=generator) + 0.5)


def test_training_appends_stylized_maps_from_stage_1_on():
    model, images = encoder(), torch.randn(2, 3, 64, 64)
    torch.manual_seed(5)
    maps = model.train()(images)
    assert [len(x) for x in maps] == [4, 4, 4, 4]
    plain = model.eval()(images)
    for a, b in zip(maps, plain):
        torch.testing.assert_close(a[:2], b)  # the first half is the images as they are
    torch.manual_seed(5)
    weights = torch.distributions.Dirichlet(torch.full((8, ), 1 / 8)).sample((2, ))
    mean, std = channel_statistics(maps[0][2:])
    torch.testing.assert_close(mean, weights @ model.style_hallucination.proto_mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(std, weights @ model.style_hallucination.proto_std, rtol=1e-4, atol=1e-4)
    assert not torch.equal(weights[0], weights[1]), 'every image has a style of its own'


def test_evaluation_is_that_of_an_encoder_without():
    model, images = encoder().eval(), torch.randn(1, 3, 64, 64)
    plain = MODELS.build(dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if 'style' not in k})
    state = torch.get_rng_state()
    for a, b in zip(model(images), plain.eval()(images)):
        assert torch.equal(a, b)
    assert torch.equal(state, torch.get_rng_state())


def test_prototypes_are_in_the_checkpoint_and_optional_when_loading():
    model = encoder(num_prototypes=5)
    state = model.state_dict()
    assert state['style_hallucination.proto_mean'].shape == state['style_hallucination.proto_std'].shape == (5, 8)
    other = encoder(num_prototypes=5)
    other.load_state_dict(state)
    bare = {k: v for k, v in state.items() if 'style' not in k}
    other.load_state_dict(bare)  # an ImageNet file
    with pytest.raises(RuntimeError, match='proto_std'):
        other.load_state_dict({k: v for k, v in state.items() if 'proto_std' not in k})


def test_training_without_prototypes_names_the_hook():
    model = encoder()
    model.style_hallucination.set_prototypes(torch.zeros(8, 8), torch.zeros(8, 8))
    with pytest.raises(ValueError, match='StylePrototypeHook'):
        model.train()(torch.randn(1, 3, 32, 32))
    model.eval()(torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize('arguments', [dict(num_prototypes=0), dict(concentration=0.)])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match='must be positive'):
        encoder(**arguments)


# ---------------------------------------------------------------------- the method
def method(tmp_path, style=True, hrda=False, **kwargs):
    """A small DomainGeneralization and one batch of two labeled images."""
    backbone = dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4,
                    drop_path_rate=0., style_hallucination=dict() if style else None)
    head = dict(type='DAFormerHead', in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=8, embed_channels=8,
                num_classes=5, dropout_ratio=0., fusion=dict(type='sep_aspp', dilations=(1, 6)),
                norm_cfg=dict(type='BN'))
    network = dict(type='EncoderDecoder', backbone=backbone, decode_head=head, test_cfg=dict(mode='whole'))
    if hrda:
        network.update(type='HRDAEncoderDecoder', hr_crop_size=(64, 64),
                       decode_head=dict(type='HRDAHead', head=head, attention_channels=8))
    kwargs = dict(dict(feature_distance=dict(classes=[1, 2, 3])), **kwargs)
    torch.manual_seed(1)
    model = MODELS.build(dict(type='DomainGeneralization', network=network, **kwargs))
    model.student.init_weights()
    model.sync_copies()
    if style:
        fill(model.student.backbone)
    with torch.no_grad():  # so that there is a distance
        model.student.backbone.layers[3][2].weight.mul_(1.5)
    labels = torch.full((2, 1, 128, 128), 2)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels]
    return model.train(), dict(source=dict(inputs=torch.randn(2, 3, 128, 128), data_samples=samples))


def gradients(model, batch, draws, seed=4):
    model.zero_grad()
    state, values = StepState(), {}
    torch.manual_seed(seed)
    for step_pass in model.passes(batch, draws, state):
        outputs = step_pass.fn()
        outputs.total().backward(retain_graph=step_pass.retain_graph)
        values.update({k: v.detach() for k, v in outputs.named().items()})
    return values, {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('hrda', [False, True])
def test_terms_of_a_step(tmp_path, hrda):
    model, batch = method(tmp_path, hrda=hrda)
    draws = model.draw_step(batch, 0)
    assert (draws.crop_box_source is not None) == hrda
    assert len(model.passes(batch, draws)) == 1, 'one backward for all terms'
    calls = []
    model.student.backbone.register_forward_hook(lambda m, i, out: calls.append((len(i[0]), len(out[0]))))
    logits = []
    head = model.student.decode_head
    if hrda:
        fuse = head.fuse
        head.fuse = lambda *a: logits.append(fuse(*a)) or logits[-1]
    else:
        head.conv_seg.register_forward_hook(lambda m, i, out: logits.append(out))
    values, grads = gradients(model, batch, draws)
    assert calls == [(2, 4)] * (2 if hrda else 1)
    assert {'source.loss_style_consistency', 'source.loss_feature_distance', 'source.decode.loss_ce'} <= set(values)
    fused = logits[0].fused if hrda else logits[0]
    assert len(fused) == 4
    expected = 10 * style_consistency(fused[:2], fused[2:])
    torch.testing.assert_close(values['source.loss_style_consistency'], expected.detach())
    assert values['source.loss_style_consistency'] > 0 and values['source.loss_feature_distance'] > 0
    assert all(torch.isfinite(g).all() for g in grads.values())
    assert any('layers.0' in k and g.abs().sum() > 0 for k, g in grads.items())


def test_both_scales_of_hrda_draw_styles_of_their_own(tmp_path):
    model, batch = method(tmp_path, hrda=True)
    styles = model.styles
    weights, draw = [], styles.draw_weights
    styles.draw_weights = lambda count: weights.append(draw(count)) or weights[-1]
    gradients(model, batch, model.draw_step(batch, 0))
    assert len(weights) == 2 and not torch.equal(*weights)


def test_distance_compares_both_copies_with_the_plain_imagenet_features(tmp_path):
    model, batch = method(tmp_path)
    seen = []
    forward = model.feature_distance.forward
    model.feature_distance.forward = lambda regions, **kw: seen.extend(regions) or forward(regions, **kw)
    gradients(model, batch, model.draw_step(batch, 0))
    region, = seen
    plain = reference_features(model.student, model.imnet, batch['source']['inputs'])[0][-1]
    assert not model.imnet.training
    torch.testing.assert_close(region.reference, plain.repeat(2, 1, 1, 1))
    assert region.features.shape == region.reference.shape and region.labels.shape == (4, 128, 128)


def test_passes_apart_give_the_gradients_of_one(tmp_path):
    one, batch = method(tmp_path, hrda=True)
    two, _ = method(tmp_path, hrda=True, shared_backward=False)
    two.load_state_dict(one.state_dict())
    draws = one.draw_step(batch, 0)
    values, joint = gradients(one, batch, draws)
    apart_values, apart = gradients(two, batch, draws)
    for name in values:
        torch.testing.assert_close(values[name], apart_values[name], rtol=1e-5, atol=1e-6)
    for name in joint:
        torch.testing.assert_close(joint[name], apart[name], rtol=1e-3, atol=1e-5)


def test_without_styles_it_is_source_only_training(tmp_path):
    model, batch = method(tmp_path, style=False)
    values, grads = gradients(model, batch, model.draw_step(batch, 0))
    assert not [k for k in values if 'style' in k]
    plain = MODELS.build(dict(type='Supervised', network=model_config(model), feature_distance=dict(
        classes=[1, 2, 3])))
    plain.load_state_dict(model.state_dict())
    expected = gradients(plain.train(), batch, plain.draw_step(batch, 0))[0]
    for name, value in expected.items():
        torch.testing.assert_close(values[name], value)


def model_config(model):
    head = dict(type='DAFormerHead', in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=8, embed_channels=8,
                num_classes=5, dropout_ratio=0., fusion=dict(type='sep_aspp', dilations=(1, 6)),
                norm_cfg=dict(type='BN'))
    return dict(type='EncoderDecoder', decode_head=head, test_cfg=dict(mode='whole'),
                backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4,
                              drop_path_rate=0.))


def test_negative_weight_is_refused(tmp_path):
    with pytest.raises(ValueError, match='style_consistency_weight=-1'):
        method(tmp_path, style_consistency_weight=-1)


def test_step_depends_on_its_context_alone(tmp_path):
    model, batch = method(tmp_path)
    wrapper = OptimWrapper(torch.optim.SGD(model.student.parameters(), lr=0.))
    model.eval().styles.train()  # statistics of BatchNorm would move
    losses = []
    for noise, iteration in ((1, 7), (2, 7), (3, 8)):
        torch.manual_seed(noise)
        context = StepContext(1, 0, iteration)
        losses.append(float(run_step(model, batch, wrapper, context=context, preprocess=False)['loss']))
    assert losses[0] == losses[1] != losses[2]


# ---------------------------------------------------------------------- the hook
@HOOKS.register_module(force=True)
class WatchPrototypes(Hook):
    """Keeps the prototypes each iteration trains with; stops after some iterations."""
    priority = 'LOWEST'
    seen: dict = {}

    def __init__(self, stop=None):
        self.stop = stop
        type(self).seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        styles = runner.model.styles
        self.seen[runner.iter] = torch.cat([styles.proto_mean, styles.proto_std], dim=1).clone()
        assert runner.model.student.backbone.training and runner.model.styles.training

    def after_iteration(self, runner):
        runner.train_loop.stop_training = runner.iter == self.stop


def run_cfg(tiny_config, interval=4, work_dir='run', stop=None, max_iters=8, **kwargs):
    cfg = tiny_config(method='DomainGeneralization', work_dir=work_dir, max_iters=max_iters, val_interval=100,
                      **kwargs)
    cfg.model.network.backbone.style_hallucination = dict()
    cfg.custom_hooks = [dict(type='StylePrototypeHook', interval=interval), dict(type='WatchPrototypes', stop=stop)]
    return cfg


@pytest.mark.ci
def test_prototypes_are_recomputed_on_schedule_and_resume_is_exact(tiny_config, run_config, tmp_path):
    whole = run_config(run_cfg(tiny_config, work_dir='whole'))
    seen = WatchPrototypes.seen
    changed = [i for i in range(1, 8) if not torch.equal(seen[i], seen[i - 1])]
    assert changed == [4] and (seen[0][:, 8:] > 0).all()
    run_config(run_cfg(tiny_config, work_dir='part', stop=6))
    rest = run_cfg(tiny_config, work_dir='part', num_workers=1)
    rest.resume = True
    runner = run_config(rest)
    assert sorted(WatchPrototypes.seen) == [6, 7], 'resumed between two computations'
    assert torch.equal(WatchPrototypes.seen[6], seen[6]), 'the prototypes of the checkpoint, not new ones'
    for (name, a), b in zip(whole.model.state_dict().items(), runner.model.state_dict().values()):
        assert torch.equal(a, b), name


@pytest.mark.ci
def test_resume_at_a_computation_is_exact(tiny_config, run_config):
    whole = run_config(run_cfg(tiny_config, work_dir='whole', max_iters=6))
    run_config(run_cfg(tiny_config, work_dir='part', stop=4, max_iters=6))
    rest = run_cfg(tiny_config, work_dir='part', max_iters=6)
    rest.resume = True
    runner = run_config(rest)
    for (name, a), b in zip(whole.model.state_dict().items(), runner.model.state_dict().values()):
        assert torch.equal(a, b), name


def test_hook_restores_random_state_and_modes(tiny_config, run_config):
    cfg = run_cfg(tiny_config)
    runner = run_config(cfg, train=False)
    hook = next(h for h in runner.hooks if type(h).__name__ == 'StylePrototypeHook')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.model.train()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    modes = [m.training for m in runner.model.modules()]
    hook.compute(runner, runner.model)
    first = copy.deepcopy(runner.model.styles.state_dict())
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert [m.training for m in runner.model.modules()] == modes
    torch.randn(3)
    hook.compute(runner, runner.model)
    assert all(torch.equal(v, first[k]) for k, v in runner.model.styles.state_dict().items())
    points = hook._points(runner.train_loop.dataloader['source'], runner.model.eval(), 1)
    assert points.shape == (12, 16) and len(points.unique(dim=0)) == 12, 'every image once'
    few = HOOKS.build(dict(type='StylePrototypeHook', max_images=5, batch_size=1))
    assert len(few._points(runner.train_loop.dataloader['source'], runner.model, 1)) == 5


def test_processes_share_the_images(tiny_config, run_config, monkeypatch):
    runner = run_config(run_cfg(tiny_config), train=False)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    module, hook = inspect.getmodule(StylePrototypeHook), StylePrototypeHook(max_images=11)
    loader, model = runner.train_loop.dataloader['source'], runner.model.eval()
    whole, parts = hook._points(loader, model, 1), []
    monkeypatch.setattr(module, 'all_reduce', lambda x: parts.append(x.clone()))
    for rank in range(3):
        monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, 3))
        hook._points(loader, model, 1)
    assert [int((x != 0).any(dim=1).sum()) for x in parts] == [4, 4, 3]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-6)


def test_wrong_combinations_are_refused(tiny_config, run_config):
    cfg = run_cfg(tiny_config)
    cfg.model.network.backbone.style_hallucination = None
    cfg.custom_hooks = cfg.custom_hooks[:1]
    with pytest.raises(ValueError, match='hallucinates no styles'):
        run_config(cfg)
    cfg = run_cfg(tiny_config, work_dir='second')
    cfg.model.type, cfg.custom_hooks = 'Supervised', []
    with pytest.raises(ValueError, match='model.type=DomainGeneralization'):
        run_config(cfg)
    with pytest.raises(ValueError, match='interval=0'):
        HOOKS.build(dict(type='StylePrototypeHook', interval=0))


def test_hrda_takes_prototypes_from_the_context_image():
    model = tiny()
    images = torch.randn(1, 3, 128, 128)
    assert style_images(model, images).shape[-2:] == (64, 64)
    assert style_images(torch.nn.Identity(), images) is images
