"""The mask denoiser, its parts, and the sampling network around it."""
import math

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample

from mmseg_dg.models.decode_heads.deformable_attention import DeformableSelfAttention, deformable_sampling
from mmseg_dg.models.decode_heads.mask_denoiser import LabelCode, MaskDenoiserHead, TimeEmbedding, sine_positions
from mmseg_dg.models.segmentors.mask_diffusion import DenoisedLabels, NoiseDraws
from mmseg_dg.ops.diffusion import ddim_step, noise_maps, noised_code
from mmseg_dg.registry import MODELS

from .diffusion_networks import build, images_of, labels_of, network_config


# ---------------------------------------------------------------------- deformable attention
def bilinear(image, y, x):
    """Value of (C, H, W) at a place between pixels, zero outside, one term after the other."""
    total = torch.zeros(image.shape[0], dtype=image.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total += image[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def test_deformable_sampling_equals_a_naive_loop():
    generator = torch.Generator().manual_seed(0)
    b, m, c, p, h, w = 2, 2, 3, 4, 4, 5
    value = torch.randn(b, m, c, h, w, generator=generator, dtype=torch.float64)
    offsets = 2 * torch.randn(b, m, p, 2, h, w, generator=generator, dtype=torch.float64)
    weights = torch.rand(b, m, p, h, w, generator=generator, dtype=torch.float64)
    expected = torch.zeros_like(value)
    for i, j, y, x, k in np.ndindex(b, m, h, w, p):
        dx, dy = offsets[i, j, k, :, y, x].tolist()
        expected[i, j, :, y, x] += weights[i, j, k, y, x] * bilinear(value[i, j], y + dy, x + dx)
    torch.testing.assert_close(deformable_sampling(value, offsets, weights), expected, rtol=1e-9, atol=1e-12)


def test_deformable_sampling_is_differentiable():
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
              for shape in ((1, 1, 2, 3, 4), (1, 1, 2, 2, 3, 4), (1, 1, 2, 3, 4))]
    assert torch.autograd.gradcheck(deformable_sampling, inputs)


def test_attention_looks_along_one_ray_per_head_at_first():
    layer = DeformableSelfAttention(8, heads=4, points=2)
    rays = layer.sampling_offsets.bias.view(4, 2, 2)
    torch.testing.assert_close(rays[:, 0], torch.tensor([[1., 0], [0, 1], [-1, 0], [0, -1]]), rtol=0, atol=1e-6)
    torch.testing.assert_close(rays[:, 1], 2 * rays[:, 0])
    x = torch.randn(1, 8, 5, 6)
    with torch.no_grad():
        torch.nn.init.dirac_(layer.value_proj.weight)
        torch.nn.init.dirac_(layer.output_proj.weight)
        out = layer(x, x)  # head 0 (channels 0, 1): mean of the next two pixels to the right
    torch.testing.assert_close(out[0, :2, :, :4], (x[0, :2, :, 1:5] + x[0, :2, :, 2:6]) / 2)
    with pytest.raises(ValueError, match='10 channels'):
        DeformableSelfAttention(10, heads=4)


# ---------------------------------------------------------------------- other parts
def test_positions_by_hand():
    positions = sine_positions(8, (3, 5)).double()
    assert positions.shape == (1, 8, 3, 5)
    row, column = 2.5 / 3 * 2 * math.pi, 1.5 / 5 * 2 * math.pi
    expected = [math.sin(row), math.cos(row), math.sin(row / 100), math.cos(row / 100),
                math.sin(column), math.cos(column), math.sin(column / 100), math.cos(column / 100)]
    assert positions[0, :, 2, 1].tolist() == pytest.approx(expected, abs=1e-6)


def test_time_embedding_keeps_the_raw_value():
    embedding = TimeEmbedding(6, frequencies=8)
    assert embedding.mlp[0].in_features == 17
    with torch.no_grad():
        embedding.frequencies.zero_()
        inputs = []
        embedding.mlp[0].register_forward_hook(lambda module, args, out: inputs.append(args[0]))
        embedding(torch.tensor([-3.5], dtype=torch.float64))
    assert inputs[0].tolist() == [[-3.5] + [0.] * 8 + [1.] * 8]


@pytest.mark.parametrize('kind', ['embedding', 'one_hot', 'bits'])
def test_codes_have_the_channels_they_promise(kind):
    code = LabelCode(kind, 5, 12, 0.1)
    maps = code(torch.tensor([[[0, 4], [255, 2]]]))
    assert maps.shape == (1, code.channels, 2, 2)
    assert maps.abs().max() <= 0.1 + 1e-7
    assert (code.table is not None) == (kind == 'embedding')


@pytest.mark.parametrize('layer', ['deformable', 'conv'])
@pytest.mark.parametrize('code', ['embedding', 'one_hot', 'bits'])
def test_denoiser_forward_and_gradients(layer, code):
    torch.manual_seed(0)
    head = MaskDenoiserHead(6, 8, num_classes=3, num_layers=2, heads=2, points=2, ffn_channels=8, layer=layer,
                            code=code)
    noisy = head.encode(torch.randint(0, 3, (2, 12, 16)), (3, 4))
    logits = head(torch.randn(2, 6, 3, 4), noisy, torch.tensor([0.2, 1.0], dtype=torch.float64))
    assert logits.shape == (2, 3, 3, 4) and torch.isfinite(logits).all()
    logits.square().sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_time_changes_the_prediction():
    torch.manual_seed(0)
    for time_input in ('log_snr', 't'):
        head = MaskDenoiserHead(6, 8, num_classes=3, num_layers=1, heads=2, time_input=time_input)
        torch.nn.init.normal_(head.conv_seg.weight)
        feature, noisy = torch.randn(1, 6, 3, 4), torch.randn(1, 8, 3, 4)
        early, late = (head(feature, noisy, torch.tensor([t])) for t in (0.1, 0.9))
        assert not torch.allclose(early, late)


@pytest.mark.parametrize('kind', ['embedding', 'one_hot', 'bits'])
def test_estimated_code_by_hand(kind):
    """Least squares slope from noisy codes of random labels to the clean ones; at t = 1 no noise is left."""
    torch.manual_seed(0)
    head = MaskDenoiserHead(6, 8, num_classes=3, num_layers=1, layer='conv', bit_scale=0.3, code=kind,
                            code_input='estimate')
    times = torch.tensor([0., 0.2, 0.5, 0.8, 1.], dtype=torch.float64)
    with torch.no_grad():
        codes = head.code(torch.randint(0, 3, (5, 200, 400))).double().flatten(1)
    alpha, sigma = (x[:, None] for x in head.levels(times))
    noisy = alpha * codes + sigma * torch.randn(codes.shape, dtype=torch.float64)
    slope = (codes * noisy).sum(1) / noisy.square().sum(1) / 0.3
    torch.testing.assert_close(head.estimate_gain(times), slope, rtol=0.02, atol=0.02)
    assert head.estimate_gain(times)[0].item() == pytest.approx(1 / 0.3, rel=2e-3)

    torch.nn.init.normal_(head.conv_seg.weight)
    feature, channels = torch.randn(1, 6, 3, 4), head.code.channels
    for t, change in ((1., 1e-3), (0.5, None)):
        time = torch.tensor([t], dtype=torch.float64)
        one, other = (head(feature, torch.randn(1, channels, 3, 4), time) for _ in range(2))
        difference = (one - other).abs().max() / one.abs().max()
        assert difference < change if change else difference > 0.01


def test_gain_of_the_default_embedding():
    """Squashed normal rows have a mean square of 0.173 b^2, by quadrature; +-b codes would gain 0.336 at t = 1/3."""
    torch.manual_seed(0)
    z = torch.linspace(-10, 10, 20001, dtype=torch.float64)
    density = torch.exp(-z**2 / 2) / math.sqrt(2 * math.pi)
    power = torch.trapezoid((2 * torch.sigmoid(z) - 1)**2 * density, z).item()
    assert power == pytest.approx(0.173, abs=1e-3)
    head = MaskDenoiserHead(num_classes=150, layer='conv', code_input='estimate')
    assert head.code.mean_square().item() / 0.1**2 == pytest.approx(power, rel=0.02)
    assert head.estimate_gain(torch.tensor([1 / 3])).item() == pytest.approx(0.060, abs=0.0015)
    with torch.no_grad():
        head.code.table.mul_(3.)  # the embedding is learned: the gain follows it
        assert head.code.mean_square().item() > 0.4 * 0.1**2
    head.estimate_gain(torch.tensor([0.5]))
    assert not head.estimate_gain(torch.tensor([0.5])).requires_grad, 'the table learns through the noisy code alone'
    bits = MaskDenoiserHead(num_classes=3, layer='conv', code='bits', code_input='estimate')
    assert bits.estimate_gain(torch.tensor([1 / 3])).item() == pytest.approx(0.336, abs=5e-4)


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(layer='transformer'), "'transformer'"), (dict(code='gray'), "'gray'"), (dict(num_layers=0), 'num_layers=0'),
    (dict(bit_scale=0.), '0.0'), (dict(schedule='sine'), "'sine'"), (dict(channels=10, heads=5), 'channels=10'),
    (dict(time_input='sigma'), "'sigma'"), (dict(code_input='clean'), "'clean'")])
def test_bad_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        MaskDenoiserHead(**dict(dict(in_channels=6, channels=8, num_classes=3, heads=2), **wrong))


# ---------------------------------------------------------------------- sampling
def test_sampling_repeats_and_follows_the_seed():
    network, images = build(), images_of(labels_of())
    first, again, other = (network.predict_logits(images, seeds) for seeds in ([1, 2], [1, 2], [1, 3]))
    assert torch.equal(first, again)
    assert torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])
    torch.rand(3)
    assert torch.equal(network.encode_decode(images), network.encode_decode(images)), 'no global random state'


def test_predictions_do_not_depend_on_the_batch():
    network, images = build(), images_of(labels_of())
    metas = [dict(img_path=f'somewhere/{name}.png', ori_shape=(64, 64)) for name in 'ab']
    both = network.encode_decode(images, metas)
    alone = network.encode_decode(images[1:], [dict(metas[1], img_path='elsewhere/b.png')])
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-4)
    renamed = network.encode_decode(images[1:], metas[:1])
    assert not torch.allclose(alone, renamed, rtol=1e-4, atol=1e-4), 'noise follows the name of the file'


def test_sampler_is_ddim_written_out():
    """Three steps, time difference 1, argmax and re-embedding, on the network's own parts."""
    network, images = build(), images_of(labels_of())
    with torch.no_grad():
        feature = network.image_feature(network.extract_feat(images))
        noisy, head = noise_maps([5, 6], (16, *feature.shape[-2:]), 'cpu'), network.denoiser
        for now, after in ((1, 1 / 3), (2 / 3, 0), (1 / 3, 0)):
            times = [torch.full((2, ), t, dtype=torch.float64) for t in (now, after)]
            logits = head(feature, noisy, times[0])
            code = head.code(logits.argmax(1))
            noisy = ddim_step(noisy, code, *head.levels(times[0]), *head.levels(times[1]))
    torch.testing.assert_close(network.sample(feature, [5, 6]), logits)


@pytest.mark.parametrize(('time_range', 'steps', 'told'), [
    ((0., 0.999), 3, [0.999, 2 / 3, 1 / 3]), ((0.2, 0.8), 5, [0.8, 0.8, 0.6, 0.4, 0.2]),
    ((0.3, 1.), 5, [1., 0.8, 0.6, 0.4, 0.3])])
def test_the_sampler_tells_no_time_that_training_never_drew(time_range, steps, told):
    network = build(time_range=time_range, denoiser=dict(time_input='t'))
    embedded, levels = [], []
    network.denoiser.time_embedding.register_forward_hook(lambda module, args, out: embedded.append(args[0].tolist()))
    network.denoiser.register_forward_hook(lambda module, args, out: levels.append(args[2].tolist()))
    network.sample(torch.randn(1, 8, 4, 4), [0], steps=steps)
    assert [t for t, in embedded] == pytest.approx(told)
    assert [t for t, in levels] == pytest.approx([1 - s / steps for s in range(steps)]), 'the code is as noisy as ever'


# ---------------------------------------------------------------------- residual form
RESIDUAL_FORMS = [dict(layer='deformable'), dict(layer='conv', code_input='estimate', time_input='t'),
                  dict(layer='conv', code='one_hot', schedule='linear', norm_cfg=dict(type='BN'))]


def fresh_residual(denoiser=None, initialized=True, **kwargs):
    """A residual network as training begins with it, its plain classifier with opinions."""
    torch.manual_seed(0)
    network = MODELS.build(network_config(denoiser, residual=True, **kwargs))
    if initialized:
        network.init_weights()
    torch.nn.init.normal_(network.decode_head.conv_seg.weight, 0, 0.5)
    return network


@pytest.mark.parametrize('initialized', [True, False])
@pytest.mark.parametrize('denoiser', RESIDUAL_FORMS, ids=lambda x: x['layer'])
def test_a_residual_starts_as_the_plain_classifier(denoiser, initialized):
    """At every noise time, in training mode and in evaluation, and for every number of sampling steps."""
    network, labels = fresh_residual(denoiser, initialized), labels_of(6)
    images = images_of(labels)
    draws = NoiseDraws([0., 1e-3, 0.25, 0.5, 0.9, 0.999], list(range(6)))
    for mode in (True, False):
        network.train(mode)
        feature = network.image_feature(network.extract_feat(images))
        plain = network.plain_logits(feature)
        assert torch.equal(network.denoise(feature, labels, draws).logits, plain)
    for steps in (1, 2, 3, 7):
        assert torch.equal(network.sample(feature, range(6), steps=steps), plain)
    expected = network.to_size(plain, (64, 64))
    assert torch.equal(network.predict_logits(images, range(6)), expected)
    assert torch.equal(network.encode_decode(images), expected)
    other = build()
    assert not torch.allclose(other.sample(feature, range(6)), other.plain_logits(feature)), "DDP's form does not"


def test_a_residual_teaches_the_encoder_through_the_plain_path():
    """From the first step on, and with the plain classifier's own loss switched off."""
    network, labels = fresh_residual(plain_weight=0).train(), labels_of()
    loss = network.segmentation_losses(images_of(labels), labels).losses['decode.loss_ce']
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.decode_head.conv_seg.parameters())
    assert max(float(p.grad.abs().max()) for p in network.backbone.parameters()) > 0
    assert float(network.denoiser.conv_seg.weight.grad.abs().max()) > 0, 'the last layer leaves zero'
    feature = network.image_feature(network.extract_feat(images_of(labels)))
    plain = network.to_size(network.plain_logits(feature), (64, 64))
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(plain, labels))


def test_a_residual_adds_both_in_the_loss_and_in_sampling():
    network, labels = fresh_residual().eval(), labels_of()
    torch.nn.init.normal_(network.denoiser.conv_seg.weight, 0, 0.5)
    with torch.no_grad():
        feature = network.image_feature(network.extract_feat(images_of(labels)))
        draws, times = NoiseDraws([0.3, 0.8], [1, 2]), torch.tensor([0.3, 0.8], dtype=torch.float64)
        noisy = noised_code(network.denoiser.encode(labels, (16, 16)), noise_maps([1, 2], (16, 16, 16), 'cpu'),
                            *network.denoiser.levels(times))
        plain = network.plain_logits(feature)
        torch.testing.assert_close(network.denoise(feature, labels, draws).logits,
                                   plain + network.denoiser(feature, noisy, times))
        first = plain + network.denoiser(feature, noise_maps([1, 2], (16, 16, 16), 'cpu'), torch.ones(2).double())
    torch.testing.assert_close(network.sample(feature, [1, 2], steps=1), first)


def test_what_a_residual_refuses():
    with pytest.raises(ValueError, match='align_corners=False and denoiser.align_corners=True'):
        build(residual=True, denoiser=dict(align_corners=True))


def test_an_init_cfg_of_the_user_replaces_zero():
    own = dict(type='Constant', val=0.25, override=dict(name='conv_seg'))
    network = fresh_residual(dict(init_cfg=own))
    assert network.denoiser.conv_seg.weight.unique().tolist() == [0.25]


def test_the_encoder_runs_once():
    network, calls = build(), []
    network.backbone.register_forward_hook(lambda *_: calls.append('encoder'))
    network.denoiser.register_forward_hook(lambda *_: calls.append('denoiser'))
    network.predict_logits(images_of(labels_of()), [0, 0])
    assert calls == ['encoder'] + ['denoiser'] * 3


def test_averages_are_log_probabilities():
    network = build(accumulate=True)
    feature = network.image_feature(network.extract_feat(images_of(labels_of())))
    chain = network._chain(feature, [1, 2], [(1, 1 / 3), (2 / 3, 0), (1 / 3, 0)], True)
    expected = torch.stack([x.softmax(1) for x in chain]).mean(0)
    torch.testing.assert_close(network.sample(feature, [1, 2]).exp(), expected)
    several = build(noise_draws=3)
    result = several.sample(feature, [1, 2])
    torch.testing.assert_close(result.exp().sum(1), torch.ones(2, 16, 16))
    assert not torch.allclose(result.softmax(1), build().sample(feature, [1, 2]).softmax(1))


@pytest.mark.parametrize('mode', ['logits', 'softmax'])
def test_sliding_windows(mode):
    network, images = build(), images_of(labels_of(1, 96))
    network.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(32, 32), window_sum=mode)
    metas = [dict(img_path='a.png')]
    whole = network.slide_inference(images, metas)
    assert torch.equal(whole, network.slide_inference(images, metas))
    corner = network.predict_logits(images[..., :64, :64], network._seeds(1, metas, 0, 64, 0, 64))
    corner = corner if mode == 'logits' else corner.softmax(1).log()
    torch.testing.assert_close(whole[..., :32, :32], corner[..., :32, :32], rtol=1e-4, atol=1e-4)


def test_mmseg_interface():
    network = build()
    images = images_of(labels_of(1, 64))[..., :52]  # sides that are no multiple of 32
    network.test_cfg = ConfigDict(mode='whole')
    sample = SegDataSample(metainfo=dict(ori_shape=(64, 52), img_shape=(64, 52), pad_shape=(64, 52), img_path='x.png',
                                         padding_size=[0, 0, 0, 0]))
    predicted, = network(images, [sample], mode='predict')
    assert predicted.pred_sem_seg.shape == (64, 52) and predicted.seg_logits.shape == (64, 52)
    assert network(images, mode='tensor').shape == (1, 4, 16, 13)


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(sampling_steps=0), 'sampling_steps=0'), (dict(noise_draws=0), 'noise_draws=0'),
    (dict(noise_draws=1.5), 'noise_draws=1.5'),
    (dict(sampling_steps=None), 'sampling_steps=None'), (dict(sampling_steps='three'), "sampling_steps='three'"),
    (dict(time_range=(0.5, 0.2)), '0.5, 0.2'), (dict(time_difference=-1), '-1'), (dict(plain_weight=-1), '-1'),
    (dict(adjustment=dict(where='everywhere')), 'everywhere'), (dict(adjustment=dict(prior=[1, 2])), '4 positive')])
def test_bad_network_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        build(**wrong)


# ---------------------------------------------------------------------- training
def test_losses_are_cross_entropies_of_the_noised_pass():
    network, labels = build(), labels_of()
    labels[0, :, :16] = 255
    images, draws = images_of(labels), NoiseDraws([0.1, 0.9], [3, 4])
    result = network.segmentation_losses(images, labels, draws=draws)
    with torch.no_grad():
        feature = network.image_feature(network.extract_feat(images))
        times = torch.tensor([0.1, 0.9], dtype=torch.float64)
        code = network.denoiser.encode(labels, (16, 16))
        alpha, sigma = (x.float().view(2, 1, 1, 1) for x in network.denoiser.levels(times))
        noisy = alpha * code + sigma * noise_maps([3, 4], (16, 16, 16), 'cpu')
        logits = network.to_size(network.denoiser(feature, noisy, times), (64, 64))
        plain = network.to_size(network.decode_head.cls_seg(feature), (64, 64))
    entropy = torch.nn.functional.cross_entropy
    torch.testing.assert_close(result.losses['decode.loss_ce'], entropy(logits, labels, ignore_index=255))
    torch.testing.assert_close(result.losses['plain.loss_ce'], 0.4 * entropy(plain, labels, ignore_index=255))
    assert {k for k in result.logs if 'ce_t' in k} == {'ce_t0-0.2', 'ce_t0.8-1'}


def test_time_bins_are_means_of_their_images():
    network, labels = build(), torch.zeros(3, 16, 16, dtype=torch.long)
    labels[2] = 255
    logits = torch.zeros(3, 4, 16, 16)
    logits[1, 0] = 5.
    times = torch.tensor([0.3, 0.21, 0.99], dtype=torch.float64)
    bins = network.time_bins(DenoisedLabels(logits, logits, times), labels)
    expected = (math.log(4) + math.log(1 + 3 * math.exp(-5))) / 2
    assert set(bins) == {'ce_t0.2-0.4'}, 'a bin without labeled pixels is left out'
    assert float(bins['ce_t0.2-0.4']) == pytest.approx(expected, rel=1e-6)
    exact = torch.tensor([0., 0.2, 1.0], dtype=torch.float64)
    assert set(network.time_bins(DenoisedLabels(logits, logits, exact), labels * 0)) == {
        'ce_t0-0.2', 'ce_t0.2-0.4', 'ce_t0.8-1'}


def test_without_the_plain_classifier_nothing_waits_for_gradients():
    network = build(plain_weight=0).train()
    losses = network.segmentation_losses(images_of(labels_of()), labels_of()).losses
    assert not any(k.startswith('plain') for k in losses)
    sum(losses.values()).backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_learns_two_images():
    """Overfits two images in a few dozen steps, for the sampler too."""
    network = build(denoiser=dict(time_input='t')).train()
    labels = labels_of()
    images = images_of(labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(45):
        optimizer.zero_grad()
        values = network.segmentation_losses(images, labels).losses
        loss = values['decode.loss_ce'] + values['plain.loss_ce']
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.4 * losses[0]
    network.eval()
    predicted = network.predict_logits(images, [0, 1]).argmax(1)
    assert float((predicted == labels).float().mean()) > 0.85


def test_a_part_of_a_noised_pass_has_all_of_its_images():
    """Times as the host drew them too, so that nobody waits for the device to read them."""
    logits, times = torch.randn(3, 2, 4, 4), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    part = DenoisedLabels(logits, logits + 1, times, logits + 2, times.tolist()).part(1, 3)
    for whole, own in zip((logits, logits + 1, times, logits + 2), part):
        assert torch.equal(own, whole[1:3])
    assert part.host_times == [0.5, 0.9]
    bare = DenoisedLabels(logits, logits, times).part(1)
    assert len(bare.logits) == 2 and bare.plain is bare.host_times is None
