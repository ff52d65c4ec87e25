"""What training methods ask of HRDA's network; wrong input is named."""
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.models.segmentors import (
    distance_maps,
    draw_crop_box,
    predict_logits,
    reference_features,
    segmentation_losses,
)

from .hrda_networks import BOX, build_head, tiny
from .test_decode_heads import pyramid


def test_teacher_normalizes_context_and_all_detail_windows_as_two_batches():
    """Nine windows of both images are one BatchNorm batch, window by window, after the context pass."""
    model = tiny().train()
    images = torch.randn(2, 3, 128, 128)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seen = []
    model.backbone.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0].clone()))
    with torch.no_grad():
        predict_logits(model, images)
    assert [len(x) for x in seen] == [2, 18]
    torch.testing.assert_close(seen[1][2:4], images[..., :64, 32:96], rtol=0, atol=0)
    moved = {k: int(v - before[k]) for k, v in model.state_dict().items() if k.endswith('num_batches_tracked')}
    assert {v for k, v in moved.items() if '.head.' in k} == {2}
    assert {v for k, v in moved.items() if '.scale_attention.' in k} == {1}


def test_features_of_both_scales_for_the_distance():
    model, encoder = tiny(), tiny().backbone
    images, labels, box = torch.randn(2, 3, 128, 128), torch.randint(0, 5, (2, 128, 128)), (16, 80, 48, 112)
    features = segmentation_losses(model, images, labels, crop_box=box).features
    reference = reference_features(model, encoder, images, crop_box=box)
    for scale, sizes in (('last', [2]), ('all', [2, 2])):
        ours, theirs = (distance_maps(model, x, labels, scale, crop_box=box) for x in (features, reference))
        assert [maps.shape[-1] for maps, _ in ours] == sizes
        for (a, _), (b, _) in zip(ours, theirs):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # equal weights, evaluation mode
    assert torch.equal(ours[0][1], labels) and torch.equal(ours[1][1], labels[:, 16:80, 48:112])
    assert len(reference_features(model, encoder, images)) == 1, 'without a box only the context'


def test_mmseg_training_loop_draws_its_own_box():
    model = tiny()
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 128, 128))))
    images = torch.randn(1, 3, 128, 128)
    np.random.seed(0)
    losses = model.loss(images, [sample])
    expected = segmentation_losses(model, images, sample.gt_sem_seg.data, crop_box=(32, 96, 56, 120)).terms.named()
    assert {k: float(v) for k, v in losses.items()} == {k: float(v) for k, v in expected.items()}


@pytest.mark.parametrize('kind', ['deeplabv2', 'deeplabv2_mit', 'deeplabv3plus', 'deeplabv3plus_mit', 'daformer'])
def test_around_other_decoders_and_encoders(kind):
    """Output stride 8 without skip feature, 4 with it; ResNet and Mix Transformer; one step trains every parameter."""
    resnet = dict(type='ResNetV1c', depth=50, base_channels=4, stem_channels=8, strides=(1, 2, 1, 1),
                  dilations=(1, 1, 2, 4), contract_dilation=True, norm_cfg=dict(type='BN'))
    small = dict(num_classes=5, norm_cfg=None)
    v2 = dict(small, type='DeepLabV2Head', in_channels=128, in_index=3, dilations=(6, 12))
    v3 = dict(small, type='DepthwiseSeparableASPPHead', in_channels=128, in_index=3, channels=8, dilations=(1, 12),
              c1_in_channels=16, c1_channels=4)
    neck = dict(type='FeatureUpsampleNeck', in_index=(3, ), scales=(4, ))
    options = dict(
        deeplabv2=dict(backbone=resnet, decode_head=dict(type='HRDAHead', head=v2, output_stride=8)),
        deeplabv2_mit=dict(neck=neck, decode_head=dict(type='HRDAHead', head=dict(v2, in_channels=8),
                                                       output_stride=8)),
        deeplabv3plus=dict(backbone=resnet, decode_head=dict(type='HRDAHead', head=v3)),
        deeplabv3plus_mit=dict(neck=neck, decode_head=dict(type='HRDAHead', head=dict(v3, in_channels=8,
                                                                                      c1_in_channels=8))),
        daformer=dict(backbone=resnet, decode_head=dict(type='HRDAHead', attention_channels=8, head=dict(
            small, type='DAFormerHead', in_channels=[16, 32, 64, 128], channels=8, embed_channels=8))))[kind]
    model = tiny(**options).train()
    stride = model.decode_head.output_stride
    images, labels = torch.randn(2, 3, 128, 128), torch.randint(0, 5, (2, 128, 128))
    result = segmentation_losses(model, images, labels, crop_box=(8, 72, 56, 120))
    assert result.logits.shape == (2, 5, 128 // stride, 128 // stride)
    result.terms.total().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        assert model.eval().encode_decode(torch.randn(1, 3, 100, 141)).shape == (1, 5, 100, 141)


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize('options, message', [
    (dict(scales=[0.5, 1]), r'scales=\[0.5, 1\] are not sorted'),
    (dict(scales=[1, 0.5, 0.25]), r'scales=\[1, 0.5, 0.25\]: .* two scales'),
    (dict(scales=[1]), r'scales=\[1\]'),
    (dict(scales=[2, 1]), r'scales=\[2, 1\]'),
    (dict(scales=[1, 0]), r'scales=\[1, 0\]'),
    (dict(hr_crop_size=(60, 64)), r'hr_crop_size=\(60, 64\) must be divisible by crop_coord_divisible=8'),
    (dict(hr_crop_size=(64, 72), crop_coord_divisible=16), r'\(64, 72\) must be divisible by crop_coord_divisible=16'),
    (dict(crop_coord_divisible=6), 'crop_coord_divisible=6'),
    (dict(head=dict(output_stride=8), hr_crop_size=(72, 72)), r'windows move by \(36, 36\)'),
    (dict(head=dict(scales=[1, 0.25])), r'decode_head.scales=\[1, 0.25\]'),
    (dict(head=dict(hr_loss_weight=0.7, lr_loss_weight=0.6)), 'hr_loss_weight=0.7 and lr_loss_weight=0.6'),
    (dict(head=dict(hr_loss_weight=-0.1)), 'hr_loss_weight=-0.1'),
    (dict(head=dict(fixed_attention=1.5)), 'got 1.5'),
    (dict(head=dict(fixed_attention='XR')), "got 'XR'"),
    (dict(head=dict(output_stride=0)), 'got 0'),
    (dict(auxiliary_head=dict(type='FCNHead')), 'auxiliary_head'),
    (dict(test_cfg=dict(mode='slide', crop_size=(100, 128), stride=(64, 64))), r'test_cfg.crop_size=\(100, 128\)'),
    (dict(test_cfg=dict(mode='whole', output='detail')), "test_cfg.output='detail'"),
])
def test_bad_configs_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize('size, box, message', [
    ((128, 124), (0, 64, 0, 64), '128x124'),
    ((128, 128), None, 'draw_crop_box'),
    ((128, 128), (80, 144, 0, 64), r'crop_box=\(80, 144, 0, 64\)'),
    ((128, 128), (0, 32, 0, 32), r'hr_crop_size=\(64, 64\)'),
    ((128, 128), (2, 66, 0, 64), r'crop_box=\(2, 66, 0, 64\) must be divisible'),
])
def test_bad_training_crops_are_named(size, box, message):
    with pytest.raises(ValueError, match=message):
        segmentation_losses(tiny(), torch.randn(1, 3, *size), torch.zeros(1, *size).long(), crop_box=box)


def test_detail_crop_larger_than_the_image():
    with pytest.raises(ValueError, match='64x64 is larger than the image 48x96'):
        draw_crop_box(tiny(), (48, 96), np.random.RandomState(0))


@pytest.mark.parametrize('inputs', [1, 3, 'tensors'])
def test_head_wants_two_inputs(inputs):
    levels = pyramid(1, 64, 64, 0.)
    with pytest.raises(ValueError, match='two inputs.*got (1|3|4)'):
        build_head()(levels if inputs == 'tensors' else [levels] * inputs)


def test_head_of_one_scale_is_refused():
    from mmseg_dg.registry import MODELS
    head = dict(type='DAFormerHead', in_channels=[8] * 4, num_classes=5)
    backbone = dict(type='MixTransformer', arch='b0')
    with pytest.raises(ValueError, match="decode_head.type='DAFormerHead' takes the features of one image"):
        MODELS.build(dict(type='HRDAEncoderDecoder', backbone=backbone, decode_head=head))


def test_head_that_wants_more_levels_than_there_are():
    with pytest.raises(ValueError, match=r'in_index=\[0, 1, 2, 3\], but the encoder gives 3'):
        build_head()((pyramid(1, 64, 64, 0.)[:3], pyramid(1, 64, 64, 0.)), BOX)


def test_wrong_output_stride_is_named():
    head = build_head(output_stride=8)
    with pytest.raises(ValueError, match='16x16 logits for 64x64 pixels, which is not output_stride=8'):
        head((pyramid(1, 64, 64, 0.), pyramid(1, 64, 64, 0.)), BOX)
    with pytest.raises(ValueError, match=r'detail logits are \(16, 16\), enlarged context logits \(32, 32\)'):
        build_head()((pyramid(1, 64, 64, 0.), pyramid(1, 64, 64, 0.)))


def test_heads_with_several_maps_are_refused():
    head = dict(type='DAHead', in_channels=8, in_index=3, channels=8, pam_channels=4, num_classes=5)
    neck = dict(type='FeatureUpsampleNeck', in_index=(3, ), scales=(4, ))
    model = tiny(head=dict(head=head, output_stride=8, fixed_attention=0.5), neck=neck)
    with pytest.raises(TypeError, match='DAHead gives several maps'):
        model.encode_decode(torch.randn(1, 3, 64, 64))


def train_config(tiny_config, **model):
    """DACS on the tiny data with an HRDA network of detail crop 32 in a crop of 64."""
    cfg = tiny_config(**model)
    old = cfg.model.network
    decoder = dict(old.pop('decode_head'))
    cfg.model.network = dict(
        type='HRDAEncoderDecoder', backbone=old.backbone, hr_crop_size=(32, 32), train_cfg=dict(),
        decode_head=dict(type='HRDAHead', head=decoder, attention_channels=8),
        test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)))
    return cfg


@pytest.mark.parametrize('scale', ['last', pytest.param('all', marks=pytest.mark.ci)])
def test_self_training_takes_the_network_as_it_is(tiny_config, run_config, tmp_path, scale):
    """Two steps, validation in outer windows, margins that came with the samples, feature distance on one or both."""
    torch.manual_seed(0)
    cfg = train_config(tiny_config, use_valid_mask=True, work_dir=scale, max_iters=2,
                       feature_distance=dict(weight=0.005, classes=[0, 1, 2, 3], scale=scale))
    from mmseg_dg.registry import MODELS
    torch.save(MODELS.build(dict(cfg.model.network.backbone)).state_dict(), tmp_path / 'encoder.pth')
    cfg.model.network.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'encoder.pth'))
    cfg.train_dataloader.target.dataset.pipeline.insert(1, dict(type='PseudoLabelMargins', top=4, bottom=20))
    runner = run_config(cfg)
    scalars = runner.message_hub.log_scalars
    for name in ('source.decode.loss_ce', 'source.decode.hr.loss_ce', 'mix.decode.loss_ce', 'mix.decode.hr.loss_ce',
                 'source.loss_feature_distance'):
        assert np.isfinite(scalars[f'train/{name}'].current()), name
    assert 0 <= scalars['val/target/mIoU'].current() <= 100
    assert int(runner.model.teacher.steps) == 2
    network = runner.model.teacher.module
    assert not any('box' in name for module in network.modules() for name in vars(module)), 'no crop box is stored'


def test_distance_on_all_scales_adds_the_detail_crop(tiny_config):
    """The mean over context cells plus the mean over the cells of the detail crop, with its own labels."""
    from mmseg_dg.methods.step import StepState
    from mmseg_dg.registry import MODELS
    values = {}
    for scale in ('last', 'all'):
        cfg = train_config(tiny_config, feature_distance=dict(weight=1.0, classes=[1], min_ratio=0.75, scale=scale))
        torch.manual_seed(0)
        method = MODELS.build(cfg.model).eval()
        torch.manual_seed(1)
        for parameter in method.imnet.parameters():
            torch.nn.init.normal_(parameter, 0, 0.3)
        images, labels = torch.randn(2, 3, 64, 64), torch.zeros(2, 64, 64).long()
        labels[0, :, :] = 1
        box = (16, 48, 8, 40)
        features = segmentation_losses(method.student, images, labels, crop_box=box).features
        losses = method.distance_loss(features, images, labels, box, StepState()).losses
        values[scale] = losses['source.loss_feature_distance']
        with torch.no_grad():
            theirs = reference_features(method.student, method.imnet, images, crop_box=box)
        means = [(a[-1] - b[-1]).norm(dim=1)[0].mean() for a, b in zip(features, theirs)]
        expected = means[0] if scale == 'last' else sum(means)
        assert values[scale].item() == pytest.approx(expected.item(), rel=1e-5)
    assert values['all'] > values['last'] > 0


def test_draws_of_a_step_hold_two_boxes(tiny_config):
    from mmseg_dg.registry import MODELS
    method = MODELS.build(train_config(tiny_config).model)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 64, 64).long()))
    batch = {s: dict(inputs=torch.zeros(1, 3, 64, 64), data_samples=[sample]) for s in ('source', 'target')}
    boxes = {(d.crop_box_source, d.crop_box_mix) for d in (method.draw_step(batch, seed) for seed in range(20))}
    assert len(boxes) > 5 and any(a != b for a, b in boxes)
    assert {c for a, b in boxes for c in a[:1] + b[:1]} <= {0, 8, 16, 24}
