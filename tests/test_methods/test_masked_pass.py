"""DACS with the masked pass (MIC), averaged pseudo-labels, and a third stream of labeled target images."""
import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods import MaskedDraws, MaskedPass, StepDraws
from mmseg_dg.methods.step import StepContext
from mmseg_dg.models.segmentors.network import predict_logits
from mmseg_dg.ops import color_jitter, denormalize, gaussian_blur, normalize
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.seeding import StepGenerator

from .test_dacs import batch_of, optimizer, step

#: The recorded draw of docs/behavior/mic.md#mask: torch seed 0, two images of 256 pixels, blocks of 64.
RECORDED = ['0100 0001 0000 0000', '0100 0101 0010 0001']
SMALL = dict(ratio=0.5, block_size=16)


@pytest.fixture
def make(tiny_config):

    def build(steady=False, **model):
        torch.manual_seed(0)
        cfg = tiny_config(**model)
        if steady:  # no noise of the network, so that a loss can be computed a second time
            cfg.model.network.backbone.drop_path_rate = cfg.model.network.decode_head.dropout_ratio = 0.
            cfg.model.norm_eval = True
        return MODELS.build(cfg.model)

    return build


def hrda(make, tiny_config, **model):
    network = tiny_config().model.network
    network.update(type='HRDAEncoderDecoder', hr_crop_size=(32, 32), decode_head=dict(
        type='HRDAHead', head=network.pop('decode_head'), attention_channels=8))
    torch.manual_seed(0)
    return MODELS.build(dict(tiny_config(**model).model, network=network))


def blocks(rows):
    return torch.tensor([[[[c == '1' for c in row] for row in image.split()]] for image in rows])


def with_few(batch, count=1, size=64):
    labels = torch.randint(0, 4, (count, 1, size, size), generator=torch.Generator().manual_seed(9))
    return dict(batch, target_labeled=dict(
        inputs=torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(8)),
        data_samples=[SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels]))


# ---------------------------------------------------------------- draws
def test_the_recorded_mask_is_drawn_and_covers_these_blocks(make):
    """With nothing else drawn by torch's generator, the step's mask is the recorded one."""
    method, batch = make(color_jitter_strength=0, masked=dict()), batch_of(size=256)
    draws = method.draw_step(batch, StepGenerator(0))
    assert torch.equal(draws.masked.kept, blocks(RECORDED))
    covered = method.masked.cover(torch.ones(2, 3, 256, 256), draws.masked)
    assert torch.equal(covered[:, :, ::64, ::64], blocks(RECORDED).float().expand(-1, 3, -1, -1))
    assert torch.equal(covered[..., :64, 64:128], torch.ones(2, 3, 64, 64)) and covered[..., 128:, :64].sum() == 0


def test_other_draws_are_those_of_a_step_without_the_new_passes(make, tiny_config):
    batch = with_few(batch_of())
    for build in (make, lambda **kwargs: hrda(make, tiny_config, **kwargs)):
        plain, full = build(), build(masked=SMALL, target_labeled_stream='target_labeled')
        for seed in range(8):
            ours, theirs = full.draw_step(batch, seed), plain.draw_step(batch, seed)
            assert ours.masked is not None and theirs.masked is None
            assert repr(dataclasses.replace(ours, masked=None, crop_box_target_labeled=None)) == repr(theirs)


def test_draws_of_the_pass(make, tiny_config):
    method, batch = hrda(make, tiny_config, masked=SMALL), batch_of()
    drawn = [method.draw_step(batch, seed) for seed in range(60)]
    found = [d.masked for d in drawn]
    assert repr(found[3]) == repr(method.draw_step(batch, 3).masked)
    assert 0.6 < sum(d.jitter for d in found) / 60 < 0.95 and 0.3 < sum(d.blur for d in found) / 60 < 0.7
    assert any(d.jitter != w.jitter for d, w in zip(found, drawn)), 'drawn anew, not taken from the mixed pass'
    assert any(d.crop_box != w.crop_box_mix for d, w in zip(found, drawn))
    for d in found:
        assert d.kept.shape == (2, 1, 4, 4) and d.kept.dtype == torch.bool and len(d.crop_box) == 4
        assert len(d.jitter_params) == 2 * d.jitter and len(d.sigma) == 2 * d.blur and len(set(d.sigma)) == d.blur
        assert len({p.order for p in d.jitter_params}) == d.jitter
    first = next(d.jitter_params for d in found if d.jitter)
    assert first[0].brightness != first[1].brightness
    still = make(masked=dict(SMALL, augment=False)).draw_step(batch, 3).masked
    assert not still.jitter and not still.blur and still.crop_box is None


# ---------------------------------------------------------------- the pass
def masked_values(method, batch, draws=None):
    """Values and state of a step, and the student and teacher before it."""
    method.train()  # sets the modes the step will have
    nets = copy.deepcopy(method.student), copy.deepcopy(method.teacher.module)
    method.recorder.request('test')
    values = step(method, batch, draws=draws)
    return values, method.recorder.record.state, *nets


def logits_of(net, images):
    return F.interpolate(net.decode_head(net.backbone(images)), size=images.shape[-2:], mode='bilinear')


def test_without_mask_and_augmentation_it_is_the_loss_of_the_clean_target(make):
    masked = dict(ratio=0., block_size=16, augment=False, weight=0.5)
    method, batch = make(steady=True, masked=masked, ignore_top=8, pseudo_threshold=0.3), batch_of()
    values, state, net, _ = masked_values(method, batch)
    images = batch['target']['inputs']
    assert torch.equal(state.masked_image, images)
    pixels = F.cross_entropy(logits_of(net, images), state.pseudo_label, reduction='none')
    weight = state.pseudo_weight
    assert (weight[:, :8] == 0).all() and weight[:, 8:].min() > 0
    torch.testing.assert_close(values['masked.decode.loss_ce'], 0.5 * (pixels * weight).mean().detach())
    assert float(values['loss']) == pytest.approx(sum(float(v) for k, v in values.items() if 'loss_ce' in k))


def test_augmentation_then_mask_against_the_unmixed_labels(make):
    """Computed a second time: jitter in [0, 1], blur of the normalized image, holes, loss with unmixed weights."""
    method, batch = make(steady=True, masked=SMALL, pseudo_threshold=0.3), batch_of()
    seed = next(s for s in range(99) if all(getattr(method.draw_step(batch, s).masked, k) for k in ('jitter', 'blur')))
    draws = method.draw_step(batch, seed)
    values, state, net, teacher = masked_values(method, batch, draws)
    mean, std = method.data_preprocessor.mean, method.data_preprocessor.std
    expected = []
    for i, image in enumerate(batch['target']['inputs']):
        image = normalize(color_jitter(denormalize(image, mean, std), draws.masked.jitter_params[i]), mean, std)
        image = gaussian_blur(image[None], draws.masked.sigma[i])[0]
        keep = draws.masked.kept[i, 0].repeat_interleave(16, 0).repeat_interleave(16, 1)
        expected.append(torch.where(keep, image, 0.))
    torch.testing.assert_close(state.masked_image, torch.stack(expected))
    label = logits_of(teacher, batch['target']['inputs']).argmax(1)
    assert torch.equal(state.pseudo_label, label)
    pixels = F.cross_entropy(logits_of(net, state.masked_image), label, reduction='none')
    loss = (pixels * state.pseudo_weight).mean().detach()
    torch.testing.assert_close(values['masked.decode.loss_ce'], loss)


def test_both_masks_half_of_the_source_with_its_labels(make):
    masked = dict(ratio=0., block_size=16, images='both', augment=False)
    method, batch = make(steady=True, masked=masked, pseudo_threshold=0.3), batch_of()
    values, state, net, _ = masked_values(method, batch)
    images = torch.stack([batch['source']['inputs'][0], batch['target']['inputs'][0]])
    assert torch.equal(state.masked_image, images)
    labels = torch.stack([batch['source']['data_samples'][0].gt_sem_seg.data[0], state.pseudo_label[0]])
    weight = torch.stack([torch.ones(64, 64), state.pseudo_weight[0]])
    pixels = F.cross_entropy(logits_of(net, images), labels, reduction='none')
    torch.testing.assert_close(values['masked.decode.loss_ce'], (pixels * weight).mean().detach())
    with pytest.raises(ValueError, match="images='both' takes the first half.*batch_size=1"):
        method.draw_step(batch_of(count=1), 0)


def test_passes_in_order_everything_masked_and_no_gradient_for_the_teacher(make):
    method, batch = make(masked=dict(SMALL, ratio=1.), target_labeled_stream='target_labeled'), with_few(batch_of())
    seen = []
    values = step(method, batch, on_backward=seen.append)
    assert seen == ['source', 'mix', 'masked', 'target_labeled']
    assert all(torch.isfinite(v) for v in values.values())
    assert all(p.grad is None for p in method.teacher.parameters())


def test_hrda_cuts_a_detail_crop_of_its_own(make, tiny_config):
    method, batch = hrda(make, tiny_config, masked=SMALL), batch_of()
    draws = method.draw_step(batch, 1)
    seen = []
    original = type(method.student).segmentation_losses
    method.student.segmentation_losses = lambda *args, **kwargs: (seen.append(kwargs['crop_box']), original(
        method.student, *args, **kwargs))[1]
    values = step(method, batch, draws=draws)
    assert seen == [draws.crop_box_source, draws.crop_box_mix, draws.masked.crop_box]
    assert {'masked.decode.loss_ce', 'masked.decode.hr.loss_ce'} <= set(values)


def test_given_draws_replay(make):
    results = []
    for k in range(2):
        method, batch = make(steady=True, masked=SMALL, target_labeled_stream='target_labeled'), with_few(batch_of())
        draws = method.draw_step(batch, 5)
        results.append(step(method, batch, draws=draws, iteration=k))
    assert results[0] == results[1]
    plain = make(masked=SMALL)
    with pytest.raises(ValueError, match='masked is on, but the draws'):
        step(plain, batch_of(), draws=StepDraws(mix_classes=[torch.tensor([0])] * 2))
    with pytest.raises(ValueError, match='of 1 images, but the pass has 2'):
        step(plain, batch_of(), draws=StepDraws(mix_classes=[torch.tensor([0])] * 2, masked=MaskedDraws(
            kept=torch.ones(1, 1, 4, 4, dtype=torch.bool))))


def test_bf16(make):
    method = make(masked=SMALL, target_labeled_stream='target_labeled', pseudo_label_tta=('flip',))
    method.train()
    values = method.train_step(with_few(batch_of()), optimizer(method, type='BF16OptimWrapper'), preprocess=False)
    assert all(torch.isfinite(v) for v in values.values())
    assert method.student.decode_head.conv_seg.weight.grad.dtype == torch.float32


# ---------------------------------------------------------------- pseudo-labels of mirrored images
def test_flip_averaged_pseudo_labels_are_the_average_by_hand(make):
    method, batch = make(steady=True, pseudo_label_tta=['flip'], pseudo_threshold=0.3, ignore_bottom=8), batch_of()
    values, state, _, teacher = masked_values(method, batch)
    images = batch['target']['inputs']
    one, other = (predict_logits(teacher, x).softmax(1) for x in (images, images.flip(3)))
    average = (one + other.flip(3)) / 2
    confidence, label = average.max(1)
    assert torch.equal(state.pseudo_label, label) and not torch.equal(label, one.argmax(1))
    share = (confidence >= 0.3).float().mean()
    assert float(values['target.pseudo_label_share']) == pytest.approx(float(share), abs=1e-3)
    assert (state.pseudo_weight[:, -8:] == 0).all()


# ---------------------------------------------------------------- few labels of the target
def test_labeled_target_images_add_a_supervised_pass(make):
    few = with_few(batch_of(), count=3)
    method = make(steady=True, target_labeled_stream='target_labeled', target_labeled_weight=2.)
    assert method.streams == ('source', 'target', 'target_labeled')
    assert method.labeled_streams == ('source', 'target_labeled')
    values, _, net, _ = masked_values(method, few)
    labels = torch.stack([s.gt_sem_seg.data[0] for s in few['target_labeled']['data_samples']])
    expected = 2 * F.cross_entropy(logits_of(net, few['target_labeled']['inputs']), labels)
    torch.testing.assert_close(values['target_labeled.decode.loss_ce'], expected.detach())
    plain = make(steady=True)
    step(plain, batch_of())
    assert not torch.equal(plain.student.decode_head.conv_seg.weight, method.student.decode_head.conv_seg.weight)


@pytest.mark.parametrize('kwargs, match', [
    (dict(masked=dict(ratio=1.5)), r'masked.ratio.*1.5'), (dict(masked=dict(block_size=0)), 'block_size counts'),
    (dict(masked=dict(images='source')), "masked.images must be one of .*'source'"),
    (dict(masked=dict(mode='patch')), 'masked.mode'), (dict(masked=dict(weight=0)), 'masked=None'),
    (dict(masked=dict(rate=1)), 'masked has no option rate'),
    (dict(masked=dict(mode='token')), "MixTransformer: use mode='pixel'"),
    (dict(pseudo_label_tta=('scale',)), 'pseudo_label_tta'), (dict(target_labeled_weight=0.), 'positive'),
])
def test_bad_arguments(make, kwargs, match):
    with pytest.raises(ValueError, match=match):
        make(**kwargs)


def test_a_block_larger_than_the_crop_is_named(make):
    with pytest.raises(ValueError, match='block_size=128 does not fit an image of 64x64'):
        make(masked=dict(block_size=128)).draw_step(batch_of(), 0)


def test_defaults_are_those_of_the_paper(make):
    assert MaskedPass.from_config(make().student, {}) == (0.7, 64, 'target', True, 1.0, 'pixel')


@pytest.mark.ci
def test_the_loss_of_masked_images_falls(make):
    """Sanity: the pass alone teaches the student what its teacher says of whole images."""
    method, batch = make(steady=True, masked=dict(SMALL, augment=False), pseudo_threshold=0.), batch_of()
    for part in (*method.student.decode_head.parameters(), *method.student.backbone.parameters()):
        part.data.mul_(1.2)
    wrapper = MergedParamGroups(dict(optimizer=dict(type='AdamW', lr=3e-3)), None)(method)
    losses = []
    for iteration in range(12):
        method.train()
        values = method.train_step(batch, wrapper, draws=method.draw_step(batch, 0), preprocess=False,
                                   context=StepContext(0, 0, iteration))
        losses.append(float(values['masked.decode.loss_ce']))
    assert losses[-1] < 0.7 * losses[0], losses


# ---------------------------------------------------------------- tokens
class TokenEncoder(torch.nn.Module):
    """An encoder with mask tokens: notes the masks it gets, and covers the patches of 16 pixels they name."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def token_grid(self, height, width):
        return height // 16, width // 16

    def forward(self, images, mask=None):
        self.seen.append(mask)
        if mask is not None:
            images = images * ~mask.repeat_interleave(16, 1).repeat_interleave(16, 2).unsqueeze(1)
        return self.inner(images)


def test_tokens_are_masked_by_the_encoder_in_this_pass_alone(make):
    plain = make(steady=True, masked=dict(SMALL, augment=False))
    method, batch = make(steady=True), batch_of()
    method.student.backbone = TokenEncoder(method.student.backbone)
    method.masked = MaskedPass.from_config(method.student, dict(ratio=0.5, augment=False, mode='token'))
    values = [step(m, batch, draws=method.draw_step(batch, 4)) for m in (plain, method)]
    seen = method.student.backbone.seen
    assert [x is None for x in seen] == [True, True, False] and seen[-1].shape == (2, 4, 4)
    assert torch.equal(seen[-1], ~method.draw_step(batch, 4).masked.kept[:, 0])
    for name, value in values[0].items():
        torch.testing.assert_close(values[1][name], value, msg=name)


def test_tokens_of_a_plain_vision_transformer(tiny_config):
    """The mask of the draws is what the encoder replaces by its mask token; replayed, the losses are the same."""
    network = dict(
        type='EncoderDecoder', train_cfg=dict(), test_cfg=dict(mode='whole'),
        backbone=dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=2, num_heads=2), patch_size=16, pos_grid=4,
                      out_indices=[-1]),
        decode_head=dict(type='TokenLinearHead', in_channels=8, num_classes=4,
                         loss_decode=dict(type='CrossEntropyLoss')))
    masked = dict(ratio=0.5, augment=False, mode='token')
    results = []
    for ratio in (0.5, 0.5, 0.):
        torch.manual_seed(0)
        model = dict(tiny_config(masked=dict(masked, ratio=ratio), pseudo_threshold=0.).model, network=network)
        method, batch = MODELS.build(model), batch_of()
        with torch.no_grad():
            method.student.backbone.mask_token.fill_(3.)
        draws = method.draw_step(batch, 2)
        assert draws.masked.kept.shape == (2, 1, 4, 4)
        clean, state, net, _ = masked_values(method, batch, draws)
        results.append(clean)
        images = batch['target']['inputs']
        mask = ~draws.masked.kept[:, 0]
        logits = F.interpolate(net.decode_head(net.backbone(images, mask=mask)), size=(64, 64), mode='bilinear')
        loss = F.cross_entropy(logits, state.pseudo_label, reduction='none')
        expected = (loss * state.pseudo_weight).mean().detach()
        torch.testing.assert_close(clean['masked.decode.loss_ce'], expected)
    assert results[0] == results[1] and results[0] != results[2]
