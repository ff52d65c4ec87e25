"""HRDA's fusion and losses: values of the official code (docs/behavior/daformer_hrda.md#check-values), variants."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.models.segmentors import draw_crop_box, predict_logits, segmentation_losses
from mmseg_dg.ops import cut_box, sliding_boxes

from .hrda_networks import BOX, build_head, label_pattern, tiny, toy, wave
from .test_decode_heads import count, pyramid


def assert_near(ours, expected):
    assert [float(v) for v in ours] == pytest.approx(expected, rel=1e-6)


# ---------------------------------------------------------------- values of the official code
# (docs/behavior/daformer_hrda.md#check-values)
def test_sizes():
    head = build_head()
    assert count(head) == 4_242_982
    assert count(head.scale_attention) == 530_707
    assert {k.split('.')[0] for k in head.state_dict()} == {'head', 'scale_attention'}


def test_fusion():
    fused = build_head()((pyramid(2, 64, 64, 0.), pyramid(2, 64, 64, 1.)), BOX)
    assert fused.shape == (2, 19, 32, 32)
    # the last value is that of image 1
    assert_near((fused.sum(), fused.abs().sum(), fused[0, 0, 0, 0], fused[0, 3, 6, 10], fused[0, 3, 5, 9],
           fused[1, 18, 21, 25], fused[1, 18, 22, 26], fused[1, 5, 31, 31]),
          (987.0118780075314, 16915.66084968292, 0.1279785279516904, -0.09031818788045078, -0.09474900834548684,
           -0.3038713965542436, -0.3276664999165514, -0.19634610767233315))


@pytest.mark.parametrize('weighted, expected', [
    (False, (2.4981517766173686, 0.28399859795893134)), (True, (1.8736142667851958, 0.2129989052599199))])
def test_losses(weighted, expected):
    model = toy()
    logits = model.decode_head.decode((pyramid(2, 64, 64, 0.), pyramid(2, 64, 64, 1.)), BOX)
    labels = label_pattern(2, 128, 128)
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing='ij')
    weight = (0.5 + 0.5 * ((x + y) % 2)).double().expand(2, -1, -1) if weighted else None
    losses = model.scale_losses(logits, labels, weight, BOX).named()
    assert_near((losses['decode.loss_ce'], losses['decode.hr.loss_ce']), expected)
    # the official accuracy counts ignored pixels in the denominator
    for name, region, official in (('decode.acc_seg', labels, 5.0262451171875),
                                   ('decode.hr.acc_seg', cut_box(labels, BOX), 3.90625)):
        assert float(losses[name]) * float((region != 255).double().mean()) == pytest.approx(official, rel=1e-5)


def test_sliding():
    head, boxes = build_head(), sliding_boxes((128, 128), (64, 64), (32, 32))
    windows = [head.logits(pyramid(2, 64, 64, 0.1 * n)) for n in range(9)]
    context = pyramid(2, 64, 64, 0.)
    logits = head.logits(context)
    fused = head.fuse(logits, head.merge(windows, boxes, (128, 128)), head.attention(context, logits)).fused
    assert_near((fused.sum(), fused.abs().sum(), fused[0, 0, 0, 0], fused[0, 3, 15, 16], fused[1, 18, 31, 31]),
          (965.743256596151, 16556.075222197487, 0.12797853115375207, -0.09381527676755605, -0.23514383724751477))


def test_whole_segmentor():
    logits = toy().encode_decode(wave(2, 128, 128))
    assert logits.shape == (2, 19, 128, 128)
    assert_near((logits.sum(), logits.abs().sum(), logits[0, 0, 0, 0], logits[1, 5, 64, 70], logits[1, 18, 127, 127]),
          (18126.0777285948, 330722.28615573887, 0.1357321102309145, -0.7014094401996874, -0.1659652638103746))
    assert_near((toy(hr_slide_overlapping=False).encode_decode(wave(2, 128, 128)).sum(), ), (17976.798673105917, ))


@pytest.mark.ci
def test_teacher_logits_are_those_of_the_whole_crop():
    model, images = toy(), wave(2, 128, 128)
    assert torch.equal(predict_logits(model, images), model.encode_decode(images))


@pytest.mark.parametrize('chunk', [None, 1, 4])
def test_outer_windows(chunk):
    model = toy(test_cfg=dict(mode='slide', crop_size=(128, 128), stride=(64, 64), batch_chunk=chunk))
    probability = model.inference(wave(1, 128, 256), [dict(ori_shape=(128, 256))]).softmax(dim=1)
    assert_near((probability[0, 0, 0, 0], probability[0, 7, 64, 128], probability[0, 18, 127, 255]),
          (0.056548163888435636, 0.09892298323581014, 0.03819630944929929))


def test_training_pass():
    model, images, labels = toy(), wave(2, 128, 128), label_pattern(2, 128, 128)
    box = draw_crop_box(model, (128, 128), np.random.RandomState(0))
    assert box == (32, 96, 56, 120)
    losses = segmentation_losses(model, images, labels, crop_box=box).terms.named()
    assert_near((losses['decode.loss_ce'], losses['decode.hr.loss_ce']), (2.557786413653515, 0.271161351917844))
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg', 'decode.hr.loss_ce', 'decode.hr.acc_seg'}


# ---------------------------------------------------------------- fusion
def test_ring_at_the_border_of_the_crop():
    """Outside by one detail cell the context is attenuated, further out it is untouched."""
    head = build_head()
    context = pyramid(1, 64, 64, 0.)
    logits = head.logits(context)
    detail = head.logits(pyramid(1, 64, 64, 1.))
    result = head.fuse(logits, detail, head.attention(context, logits), BOX)
    alone = head.enlarge(logits)
    rows = slice(6, 22)
    assert torch.equal(result.fused[..., :5, :], alone[..., :5, :])
    assert not torch.isclose(result.fused[..., 5, 12:20], alone[..., 5, 12:20]).any()
    assert (result.attention[..., rows, 10:26] > 0).all() and not result.attention[..., :5, :].any()


def test_optional_loss_of_the_context_is_on_attenuated_logits():
    model = toy(head=dict(lr_loss_weight=0.3, hr_loss_weight=0.2))
    images, labels = wave(1, 128, 128), label_pattern(1, 128, 128)
    losses = segmentation_losses(model, images, labels, crop_box=BOX).losses
    context = model.extract_feat(images)
    detail = model.backbone(cut_box(images, BOX))
    parts = model.decode_head.decode((context, detail), BOX)
    plain = {name: float(F.cross_entropy(F.interpolate(maps, size=target.shape[-2:], mode='bilinear'), target,
                                         ignore_index=255, reduction='sum')) / target.numel()
             for name, maps, target in (('', parts.fused, labels), ('lr.', parts.context, labels),
                                        ('hr.', parts.detail, cut_box(labels, BOX)))}
    for name, factor in (('', 0.5), ('lr.', 0.3), ('hr.', 0.2)):
        assert float(losses[f'decode.{name}loss_ce']) == pytest.approx(factor * plain[name], rel=1e-9)


def test_no_weights_give_the_plain_fused_loss():
    losses = segmentation_losses(toy(head=dict(hr_loss_weight=0.)), wave(1, 128, 128), label_pattern(1, 128, 128),
                                 crop_box=BOX).terms.named()
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg'}


@pytest.mark.parametrize('fixed', [0.5, 'LR', 'HR'])
def test_fixed_attention(fixed):
    head = build_head(fixed_attention=fixed)
    assert head.scale_attention is None
    weight = dict(LR=0., HR=1.).get(fixed, fixed)
    context, detail = pyramid(1, 64, 64, 0.), pyramid(1, 128, 128, 1.)
    fused = head((context, detail))
    expected = (1 - weight) * head.enlarge(head.logits(context)) + weight * head.logits(detail)
    torch.testing.assert_close(fused, expected, rtol=1e-12, atol=1e-12)


def test_single_channel_attention():
    head = build_head(attention_classwise=False)
    result = head.decode((pyramid(1, 64, 64, 0.), pyramid(1, 128, 128, 1.)))
    assert result.attention.shape == (1, 1, 32, 32) and result.fused.shape == (1, 19, 32, 32)


def test_attention_trains_the_encoder():
    model = tiny(head=dict(hr_loss_weight=0.)).train()
    context = model.extract_feat(torch.randn(1, 3, 128, 128))
    model.decode_head.attention(context, context[0]).sum().backward()
    gradients = [p.grad for p in model.backbone.parameters()]
    assert sum(g is not None and bool(g.abs().sum() > 0) for g in gradients) > len(gradients) * 0.9


@pytest.mark.parametrize('scale', [0.25, 0.75, 1])
def test_other_context_scales(scale):
    model = tiny(scales=[1, scale])
    images, labels = torch.randn(1, 3, 128, 128), torch.randint(0, 5, (1, 128, 128))
    result = segmentation_losses(model, images, labels, crop_box=(16, 80, 48, 112))
    assert result.logits.shape == (1, 5, 32, 32)
    assert result.features[0][0].shape[-1] == 32 * scale and result.features[1][0].shape[-1] == 16
    assert model.encode_decode(torch.randn(1, 3, 100, 133)).shape == (1, 5, 100, 133)


def test_blurred_detail():
    images = torch.randn(1, 3, 128, 128)
    sharp, blurred = (tiny(blur_hr_crop=flag) for flag in (False, True))
    down = F.interpolate(F.interpolate(images, size=(64, 64), mode='bilinear'), size=(128, 128), mode='bilinear')
    context = sharp.extract_feat(images)
    logits = sharp.decode_head.logits(context)
    boxes = sliding_boxes((128, 128), (64, 64), (32, 32))
    windows = [sharp.decode_head.logits(sharp.backbone(cut_box(down, box))) for box in boxes]
    expected = sharp.decode_head.fuse(logits, sharp.decode_head.merge(windows, boxes, (128, 128)),
                                      sharp.decode_head.attention(context, logits)).fused
    expected = F.interpolate(expected, size=(128, 128), mode='bilinear')
    torch.testing.assert_close(blurred.encode_decode(images), expected, rtol=1e-4, atol=1e-5)
    assert (blurred.encode_decode(images) - sharp.encode_decode(images)).abs().max() > 1e-2
