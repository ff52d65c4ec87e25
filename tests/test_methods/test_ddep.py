"""Decoder denoising pretraining: what is trained, what stays, and what it refuses."""
import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_dg.methods.ddep import DDePDraws, NoiseHead
from mmseg_dg.methods.step import run_step
from mmseg_dg.ops.denoising import add_noise
from mmseg_dg.ops.noise import seeded_noise
from mmseg_dg.registry import MODELS

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
LOSS = dict(type='CrossEntropyLoss')
BACKBONE = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, init_cfg=None)  # random on purpose
CHANNELS = [8, 16, 32, 64]


def network(head=None, backbone=None, **kwargs):
    head = head or dict(type='UNetHead', in_channels=CHANNELS, widths=[8, 8, 8])
    head = dict(dict(num_classes=4, loss_decode=LOSS), **head)
    return dict(dict(type='EncoderDecoder', backbone=backbone or dict(BACKBONE), decode_head=head, train_cfg=dict(),
                     test_cfg=dict(mode='whole')), **kwargs)


def build(net=None, **kwargs):
    torch.manual_seed(0)
    method = MODELS.build(dict(dict(type='DDeP', network=net or network(), encoder_norm=IMAGENET), **kwargs))
    method.init_weights()
    return method.train()


def data(count=2, size=(64, 64), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for _ in range(count)]
    return dict(images=dict(inputs=images, data_samples=[SegDataSample() for _ in images]))


def optim(method, lr=1e-3):
    return OptimWrapper(torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=lr))


# ---------------------------------------------------------------- objective
@pytest.mark.parametrize('form', ['simple', 'scaled'])
def test_predicting_zero_gives_loss_one(form):
    method = build(noise=dict(form=form, sigma=0.22))
    nn.init.zeros_(method.noise_head.conv.weight)
    nn.init.zeros_(method.noise_head.conv.bias)
    batch = method.data_preprocessor(data(4, (128, 128)), True)
    values = method.passes(batch, method.draw_step(batch, 1))[0].fn().named()
    assert values['images.loss_noise'].item() == pytest.approx(1., abs=0.01)
    assert values['images.psnr'].item() == pytest.approx(values['images.input_psnr'].item(), abs=1e-4)
    assert values['images.input_psnr'].item() == pytest.approx(10 * math.log10(4 / 0.22**2), abs=0.1)


def test_loss_is_the_formula_and_a_perfect_prediction_restores(monkeypatch):
    method = build()
    batch = method.data_preprocessor(data(), True)
    images, draws = batch['images']['inputs'], DDePDraws(torch.tensor([0.22, 0.4]), 7)
    noise = seeded_noise(images, 7)
    seen = {}

    def perfect(noisy):
        seen['noisy'] = noisy
        return noise + 0.5

    monkeypatch.setattr(method, 'predict', perfect)
    values = method.passes(batch, draws)[0].fn().named()
    assert values['images.loss_noise'].item() == pytest.approx(0.25)
    assert torch.equal(seen['noisy'], add_noise(images, noise, draws.sigma))
    assert values['images.psnr'].item() == pytest.approx(  # an error of 0.5 in the noise is 0.5 sigma in the image
        sum(10 * math.log10(4 / (0.5 * s)**2) for s in (0.22, 0.4)) / 2, abs=1e-3)


def test_image_as_target():
    method = build(target='image', noise_head=dict(kernel_size=1))
    batch = method.data_preprocessor(data(), True)
    draws = method.draw_step(batch, 3)
    values = method.passes(batch, draws)[0].fn().named()
    images = batch['images']['inputs']
    noisy = add_noise(images, seeded_noise(images, draws.noise_seed), draws.sigma)
    assert values['images.loss_image'].item() == pytest.approx((method.predict(noisy) - images).square().mean().item())


def test_encoder_sees_its_own_normalization(monkeypatch):
    seen = {}
    raw = data(seed=3)
    for norm, mean, std in ((IMAGENET, IMAGENET['mean'], IMAGENET['std']), (None, [127.5] * 3, [127.5] * 3)):
        method = build(encoder_norm=norm, noise=dict(sigma=0.))
        method.student.backbone.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
        batch = method.data_preprocessor(copy.deepcopy(raw), True)
        method.passes(batch, method.draw_step(batch, 0))[0].fn().named()
        rgb = torch.stack(raw['images']['inputs']).flip(1).float()
        expected = (rgb - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        torch.testing.assert_close(seen['x'], expected, atol=1e-4, rtol=1e-4)


def test_noise_follows_the_step_generator():
    method = build(noise=dict(sigma=[0.2, 0.3]))
    batch = method.data_preprocessor(data(), True)
    first, again, other = (method.draw_step(batch, seed) for seed in (1, 1, 2))
    assert first.noise_seed == again.noise_seed != other.noise_seed
    assert torch.equal(first.sigma, again.sigma) and not torch.equal(first.sigma, other.sigma)
    assert all(0.2 <= s <= 0.3 for s in first.sigma.tolist())
    losses = []
    for draws in (first, again, other):
        twin = build(noise=dict(sigma=[0.2, 0.3]))
        losses.append(run_step(twin, data(size=(32, 32)), optim(twin), draws=draws)['loss'].item())
    assert losses[0] == losses[1] != losses[2]


# ---------------------------------------------------------------- who is trained
def test_gradient_reaches_decoder_only():
    method = build()
    batch = method.data_preprocessor(data(), True)
    values = method.passes(batch, method.draw_step(batch, 0))[0].fn().named()
    values['images.loss_noise'].backward()
    for name, parameter in method.named_parameters():
        decoder = name.startswith(('student.decode_head.', 'noise_head.'))
        assert parameter.requires_grad == decoder, name
        assert (parameter.grad is not None) == decoder, name
    assert not [n for n, _ in method.named_parameters() if 'conv_seg' in n], 'a classifier nobody trains'


def test_encoder_is_bit_identical_after_20_steps():
    method = build()
    before = copy.deepcopy(method.student.backbone.state_dict())
    decoder = copy.deepcopy(method.student.decode_head.state_dict())
    wrapper = optim(method)
    for step in range(20):
        method.train()
        run_step(method, data(seed=step, size=(32, 32)), wrapper)
    after = method.student.backbone.state_dict()
    assert any('running_mean' in k for k in before) and all(torch.equal(before[k], after[k]) for k in before)
    assert not method.student.backbone.training and method.student.decode_head.training
    moved = method.student.decode_head.state_dict()
    assert not torch.equal(decoder['blocks.0.conv1.conv.weight'], moved['blocks.0.conv1.conv.weight'])


def test_trained_encoder_is_dep():
    method = build(train_encoder=True)
    before = copy.deepcopy(method.student.backbone.state_dict())
    assert method.student.backbone.training
    run_step(method, data(), optim(method))
    after = method.student.backbone.state_dict()
    assert not torch.equal(before['conv1.weight'], after['conv1.weight'])
    assert not torch.equal(before['bn1.running_mean'], after['bn1.running_mean'])


def test_learns_to_denoise():
    """One image of blocks, random encoder: the loss falls far below the 1.0 of predicting nothing."""
    encoder = dict(BACKBONE, type='StemResNet', stem_channels=32)
    method = build(network(dict(type='UNetHead', in_channels=[32, *CHANNELS], widths=[8, 8, 8, 32]), encoder),
                   noise_head=dict(upsample='pixel_shuffle', stride=2))
    image = torch.randint(0, 256, (3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    image = image.repeat_interleave(16, 1).repeat_interleave(16, 2)
    wrapper = optim(method, 3e-3)
    for _ in range(50):
        losses = run_step(method, dict(images=dict(inputs=[image] * 2, data_samples=[SegDataSample()] * 2)), wrapper)
    assert losses['loss'].item() < 0.9 and losses['images.psnr'] > losses['images.input_psnr'] + 0.5


# ---------------------------------------------------------------- other networks
@pytest.mark.parametrize('head', [
    dict(type='DAFormerHead', in_channels=CHANNELS, channels=8, embed_channels=8, fusion=dict(type='conv1x1')),
    dict(type='UPerHead', in_channels=CHANNELS, in_index=[0, 1, 2, 3], pool_scales=(1, 2), channels=8),
    dict(type='SegformerHead', in_channels=CHANNELS, in_index=[0, 1, 2, 3], channels=8),
], ids=lambda head: head['type'])
@pytest.mark.parametrize('upsample', ['bilinear', 'pixel_shuffle'])
def test_heads_of_stride_four(head, upsample):
    method = build(network(head), noise_head=dict(upsample=upsample, stride=4))
    result = run_step(method, data(size=(64, 96)), optim(method))
    assert math.isfinite(result['loss'])
    trained = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert not trained, 'every trained parameter receives a gradient'
    assert method(torch.zeros(1, 3, 75, 50)).shape == (1, 3, 75, 50)


def test_noise_head_repeats_pixels_in_place():
    """pixel_shuffle: a feature predicts its own stride x stride pixels."""
    head = NoiseHead(1, kernel_size=1, upsample='pixel_shuffle', stride=2)
    features = torch.tensor([[[[1., 0.], [0., 0.]]]])
    with torch.no_grad():
        changed = (head(features, (4, 4)) - head(torch.zeros_like(features), (4, 4))).abs().sum(1)[0] > 0
    assert changed[:2, :2].all() and not changed[2:].any() and not changed[:, 2:].any()


def test_noise_head_cuts_off_what_reaches_beyond_the_image():
    """Resizing 76 predicted pixels to 75 would mix the noise of neighbors."""
    head = NoiseHead(3, upsample='pixel_shuffle', stride=4)
    features = torch.rand(1, 3, 19, 13, generator=torch.Generator().manual_seed(0))
    assert torch.equal(head(features, (75, 50)), head(features, (76, 52))[..., :75, :50])
    for stride in (2, 8):
        with pytest.raises(ValueError, match=rf'stride={stride} is not the stride of the decoder.*\(19, 13\)'):
            NoiseHead(3, upsample='pixel_shuffle', stride=stride)(features, (75, 50))


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize('change, message', [
    (dict(noise=dict(sigma=-0.1)), 'negative'),
    (dict(noise=dict(gamma=0.9)), 'no option gamma'),
    (dict(target='edges'), 'noise, image'),
    (dict(noise_head=dict(upsample='nearest')), 'pixel_shuffle'),
    (dict(noise_head=dict(kernel_size=2)), 'odd'),
    (dict(net=network(auxiliary_head=dict(type='FCNHead', in_channels=16, in_index=1, channels=4, num_classes=4,
                                          loss_decode=LOSS))), 'auxiliary_head=None'),
])
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        build(**change)


def test_images_outside_the_range_are_refused():
    method = build(data_preprocessor=dict(type='MultiStreamDataPreprocessor', bgr_to_rgb=True, **IMAGENET))
    with pytest.raises(ValueError, match=r'\[-1, 1\].*reach from -2.*data_preprocessor'):
        run_step(method, data(), optim(method))
    with pytest.raises(ValueError, match='reach from'):
        method.eval().val_step(dict(inputs=data()['images']['inputs'], data_samples=[SegDataSample()] * 2))


@pytest.mark.parametrize('norm', [
    dict(mean=[.485, .456, .406], std=[.229, .224, .225]), dict(mean=[0.] * 3, std=[0., 1., 1.]),
    dict(mean=[0.] * 3, std=[-1., 9., 9.]), dict(mean=[120.] * 3), dict(mean=[120.], std=[60.])])
def test_encoder_norm_of_another_scale_is_refused(norm):
    with pytest.raises(ValueError, match=r'encoder_norm.*scale 0\.\.255.*123\.675'):
        build(encoder_norm=norm)


def preprocessor(mean, std, **kwargs):
    return dict(type='MultiStreamDataPreprocessor', mean=[mean] * 3, std=[std] * 3, bgr_to_rgb=True, **kwargs)


@pytest.mark.parametrize('scale', [
    preprocessor(0., 255.), preprocessor(127.5, 127.5, streams=dict(images=dict(std=[255.] * 3))),
    dict(type='MultiStreamDataPreprocessor')], ids=['[0, 1]', 'override', 'none'])
def test_another_scale_is_refused_before_training(scale):
    """Images on [0, 1] are within the range: their values do not tell."""
    with pytest.raises(ValueError, match=r'\[-1, 1\].*(mean=\[0.0|std=\[255.0|mean=None).*encoder_norm'):
        build(data_preprocessor=scale).before_training()
    build().before_training()


# ---------------------------------------------------------------- validation
def test_validation_noise_depends_on_the_name_only():
    method = build().eval()
    image = data(1)['images']['inputs'][0]

    def scores(name, position=0):
        samples = [SegDataSample(metainfo=dict(img_path=f'/some/where/{n}.png')) for n in ['x'] * position + [name]]
        with torch.no_grad():
            out = method.val_step(dict(inputs=[image] * len(samples), data_samples=samples))
        return out[-1].denoising, out[-1].noisy_image.data

    first, noisy = scores('a')
    again, same = scores('a', position=2)
    assert first == again and torch.equal(noisy, same)
    assert not torch.equal(noisy, scores('b')[1])
    assert first['input_PSNR'] == pytest.approx(19.2, abs=0.3) and first['noise_loss'] > 0.9
