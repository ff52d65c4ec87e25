"""Faults that the other tests once let pass: one assertion each, written with the fault built in and seen to fail."""
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmseg.models import SegDataPreProcessor
from test_models.diffusion_networks import batch_of, build, network_config
from torch import nn

from mmseg_dg.datasets.transforms.centroid_crop import CentroidCrop
from mmseg_dg.engine.hooks import EMAUpdateHook, StylePrototypeHook
from mmseg_dg.engine.hooks.training_pictures import _normalization
from mmseg_dg.methods.base import BaseMethod
from mmseg_dg.methods.semi_supervised import evaluation_mode
from mmseg_dg.methods.step import StepState
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.ops.color import denormalize, normalize
from mmseg_dg.ops.denoising import add_noise
from mmseg_dg.ops.diffusion import class_prior
from mmseg_dg.ops.entropy import entropy_guided_boxes
from mmseg_dg.ops.lab_style import LABStyleDraws, lab_style, rgb_to_unit_lab, unit_lab_to_rgb
from mmseg_dg.ops.noise import seeded_noise
from mmseg_dg.ops.style import restyle
from mmseg_dg.registry import MODELS

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def plain_network(**head):
    backbone = dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4)
    decoder = dict(type='DAFormerHead', in_channels=[8] * 4, channels=8, embed_channels=8, num_classes=3, **head)
    return dict(type='EncoderDecoder', backbone=backbone, decode_head=decoder, train_cfg=dict(),
                test_cfg=dict(mode='whole'))


def test_diffmatch_samples_pseudo_labels_from_the_teacher():
    torch.manual_seed(0)
    method = MODELS.build(dict(type='DiffMatch', network=network_config(), adjustment=dict(prior='uniform'),
                               data_preprocessor=dict(type='MultiStreamDataPreprocessor', **IMAGENET))).train()
    method.teacher.configure(0.9, False, 'average')
    for network in (method.student, method.teacher.module):  # decisions that depend on the weights
        nn.init.normal_(network.denoiser.conv_seg.weight, 0, 1.)
    batch, state = batch_of(), StepState()
    draws = method.draw_step(batch, 0)
    method._pseudo_label_pass(batch, draws, state)
    labels = {}
    for name, network in (('teacher', method.teacher.module), ('student', method.student)):
        with torch.no_grad(), evaluation_mode(network):
            logits = network.predict_logits(batch['unlabeled']['inputs'], draws.teacher_seeds, method.teacher_steps)
        labels[name] = logits.argmax(1)
    assert torch.equal(state.pseudo_label, labels['teacher'])
    assert (labels['teacher'] != labels['student']).any()


def test_the_sampler_feeds_back_the_adjusted_decision():
    network = build(adjustment=dict(where='sampling', weighting='one', prior=[0.97, 0.01, 0.01, 0.01]))
    fed, code = [], network.denoiser.code.forward
    network.denoiser.code.forward = lambda labels: fed.append(labels) or code(labels)
    network.denoiser.forward = lambda feature, noisy, t: torch.tensor([2., 1., 0., 0.]).view(1, 4, 1, 1).expand(
        len(feature), 4, *feature.shape[-2:])
    sampled = network.sample(torch.zeros(1, 8, 4, 4), [0], steps=3)
    assert sampled.argmax(1).unique().tolist() == [1], 'class 0 is that frequent that class 1 is meant'
    assert len(fed) == 2 and all(labels.unique().tolist() == [1] for labels in fed)


@pytest.mark.parametrize('code', ['embedding', 'bits'])
def test_the_estimate_is_the_best_linear_one_at_every_time(code):
    """``gain = alpha v / (b (alpha^2 v + sigma^2))`` has one v, the code's power, at all times."""
    head = build(denoiser=dict(code_input='estimate', code=code)).denoiser
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    alpha, sigma = head.levels(t)
    gain = head.estimate_gain(t).detach() * head.code.scale
    power = gain * sigma**2 / (alpha * (1 - gain * alpha))
    torch.testing.assert_close(power, power[:1].expand(3), rtol=1e-9, atol=0)
    assert 0 < power[0] <= head.code.scale**2 * (1 + 1e-5)


def test_the_distance_of_deft_starts_at_the_weights_that_were_loaded(tmp_path):
    """``init_weights`` draws or loads after the method was built: the reference must follow."""
    method = MODELS.build(dict(type='DeFT', network=plain_network(), distance=dict(weight_encoder=1.)))
    torch.manual_seed(3)
    method.init_weights()
    for module, reference in ((method.student.backbone, method.encoder_init),
                              (method.student.decode_head, method.decoder_init)):
        theirs = reference.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize('when', ['before_step', 'after_step'])
def test_averages_stand_still_in_a_skipped_step(when):
    source = nn.Linear(2, 2)
    average = EMATeacher(source, beta=0.5, ramp=False)

    class Averaged(BaseMethod):

        def __init__(self):
            nn.Module.__init__(self)
            self.register_buffer('step_skipped', torch.zeros((), dtype=torch.uint8))

        def ema_pairs(self):
            return {'teacher': (source, average)}

    method = Averaged()
    runner, hook = SimpleNamespace(model=method, iter=0), EMAUpdateHook(0.5, when)
    hook.before_train(runner)
    nn.init.constant_(source.weight, 9.)
    before = average.module.weight.clone()
    for skipped, steps in ((1, 0), (0, 1)):
        method.step_skipped.fill_(skipped)
        hook.before_train_iter(runner, 0)
        hook.after_train_iter(runner, 0)
        assert int(average.steps) == steps and torch.equal(average.module.weight, before) == bool(skipped)


def test_the_noisy_image_of_ddep_is_not_clipped():
    method = MODELS.build(dict(type='DDeP', network=plain_network(), encoder_norm=IMAGENET,
                               noise=dict(form='simple', sigma=2.)))
    images = torch.linspace(-1, 1, 64 * 64).view(1, 1, 64, 64).expand(1, 3, 64, 64).contiguous()
    batch = dict(images=dict(inputs=images, data_samples=None))
    draws, seen = method.draw_step(batch, 0), []
    predict = method.predict
    method.predict = lambda noisy: seen.append(noisy) or predict(noisy)
    method.passes(batch, draws)[0].fn()
    expected = add_noise(images, seeded_noise(images, draws.noise_seed), draws.sigma, 'simple')
    assert expected.abs().max() > 4 and torch.equal(seen[0], expected)


def test_prototypes_of_styles_come_from_an_encoder_in_evaluation_mode(monkeypatch):
    network = plain_network()
    network['backbone']['style_hallucination'] = dict(num_prototypes=2)
    method = MODELS.build(dict(type='DomainGeneralization', network=network)).train()
    modes = []

    def points(self, loader, method, seed):
        modes.append({m.training for m in method.student.backbone.modules()})
        return torch.rand(3, 2 * method.styles.proto_mean.shape[1])

    monkeypatch.setattr(StylePrototypeHook, '_points', points)
    runner = SimpleNamespace(seed=0, iter=0, train_loop=SimpleNamespace(dataloader=dict(source=None)))
    StylePrototypeHook().compute(runner, method)
    assert modes == [{False}] and method.student.backbone.training


def test_noise_of_a_restyled_image_is_added_before_the_clamp():
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = LABStyleDraws(torch.full((1, 3), 0.9), torch.full((1, 3), 0.4), 5)
    styled = restyle(rgb_to_unit_lab(images), draws.mean.double(), draws.std.double())
    noise = 0.1 * seeded_noise(styled, 5, torch.float64)
    assert (styled > 1).any(), 'some of it is clamped'
    torch.testing.assert_close(lab_style(images, draws, 0.1), unit_lab_to_rgb((styled + noise).clamp(0, 1)))


def test_a_wanted_point_moves_with_the_factor_of_its_own_axis():
    crop = CentroidCrop((4, 4))
    results = dict(wanted_point=(10, 30), scale_factor=(2., 0.5))  # width, height
    assert crop._point(results, (50, 100)) == (5, 60)
    for _ in range(20):
        box = crop.choose_box((50, 100), (5, 60))
        assert np.all(np.array([box.y1, box.x1]) <= (5, 60)) and np.all(np.array([box.y2, box.x2]) > (5, 60))


# ---------------------------------------------------------------------- found by tests/mutants.py
def test_a_window_smaller_than_a_cell_has_that_cells_entropy():
    logits = torch.zeros(1, 2, 2, 2)
    logits[:, 0] = 9.
    logits[:, :, 1, 1] = 0.  # the uncertain cell
    (y1, y2, x1, x2), = entropy_guided_boxes(logits, (16, 16), (4, 4), 4)
    assert y1 >= 8 and x1 >= 8 and (y2 - y1, x2 - x1) == (4, 4)


def test_the_floor_of_a_prior_is_at_most_that_of_equal_classes():
    assert class_prior(torch.ones(3), floor=1 / 3).tolist() == pytest.approx([1 / 3] * 3)
    with pytest.raises(ValueError, match='floor=0.4'):
        class_prior(torch.ones(3), floor=0.4)


def test_fixmatch_looks_at_the_pasted_images_before_its_statistics_move():
    method = MODELS.build(dict(type='FixMatch', network=plain_network(), data_preprocessor=dict(
        type='MultiStreamDataPreprocessor', **IMAGENET)))
    batch = batch_of(mix=True)
    draws = method.draw_step(batch, 0)
    draws = dataclasses.replace(draws, boxes=[[(0, 8, 0, 8)] * 2])
    assert [p.name for p in method.passes(batch, draws)] == ['mix_pseudo_labels', 'labeled', 'strong']


def test_defaults_of_papers():
    assert MODELS.build(dict(type='DeFT', network=plain_network())).warmup_iters == 8000


def test_pictures_undo_the_normalization_of_the_preprocessor():
    preprocessor = SegDataPreProcessor(mean=[1., 2., 3.], std=[4., 5., 6.])
    assert _normalization(SimpleNamespace(data_preprocessor=preprocessor)) == ([1., 2., 3.], [4., 5., 6.])
    assert _normalization(SimpleNamespace(data_preprocessor=SegDataPreProcessor())) == ([0.] * 3, [1.] * 3)


def test_normalization_refuses_what_is_no_image():
    for function in (normalize, denormalize):
        with pytest.raises(ValueError, match='uint8'):
            function(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), **IMAGENET)
