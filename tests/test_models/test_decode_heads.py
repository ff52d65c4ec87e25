"""Decoders: the official head's closed-form values, parameter counts, variants, training on other encoders."""
import importlib.util

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_dg.models.decode_heads.fusion import InterlacedAttentionFusion, build_fusion
from mmseg_dg.registry import MODELS

MIT = (64, 128, 320, 512)
FUSIONS = ('sep_aspp', 'aspp', 'conv1x1', 'isa', 'context_f4')


def head(kind='DAFormerHead', in_channels=MIT, num_classes=19, **kwargs):
    return MODELS.build(dict(type=kind, in_channels=in_channels, num_classes=num_classes, **kwargs))


def pyramid(batch, height, width, phase, channels=MIT):
    """The features of docs/behavior/daformer_hrda.md#check-values."""
    levels = []
    for level, (count, stride) in enumerate(zip(channels, (4, 8, 16, 32))):
        b, k, y, x = torch.meshgrid(*[torch.arange(n, dtype=torch.float64)
                                      for n in (batch, count, height // stride, width // stride)], indexing='ij')
        levels.append(torch.cos(phase + 0.3 * level + 0.013 * k + 0.21 * y + 0.17 * x + 0.5 * b))
    return tuple(levels)


def fill(module: nn.Module) -> nn.Module:
    """The parameters of docs/behavior/daformer_hrda.md#check-values."""
    state = module.state_dict()
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    for j, key in enumerate(sorted(k for k in state if not k.endswith(buffers))):
        flat = 0.04 * torch.sin(0.017 * torch.arange(state[key].numel(), dtype=torch.float64) + 0.5 * j)
        state[key] = flat.view(state[key].shape) + (1 if key.endswith('bn.weight') else 0)
    module.load_state_dict(state)
    return module


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('training,expected', [
    (False, (416.43081821514653, 7487.525796038646, 0.12451356067815367, 0.8149514264136939, -0.22941259562213112)),
    (True, (606.1929309131544, 11917.771492592265, 1.2840688841246741, 1.5754311496102127, -1.00577152379923)),
])
def test_daformer_head_has_the_official_values(training, expected):
    model = fill(head(dropout_ratio=0.).double()).train(training)
    logits = model(pyramid(2, 64, 96, 0.))
    assert logits.shape == (2, 19, 16, 24)
    ours = (logits.sum(), logits.abs().sum(), logits[0, 0, 0, 0], logits[0, 7, 5, 11], logits[1, 18, 15, 23])
    assert [v.item() for v in ours] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('fusion,parameters', [
    ('sep_aspp', 3_712_275), ('conv1x1', 530_707), ('aspp', 9_969_939), ('isa', 1_058_579), ('context_f4', 3_163_155)])
def test_parameter_counts_of_the_decoder_study(fusion, parameters):
    with torch.device('meta'):
        assert count(head(fusion=dict(type=fusion))) == parameters


def test_parameter_counts_of_the_comparison_decoders():
    with torch.device('meta'):
        # 2 451 less than the official module, whose conv_seg (128 -> 19) nothing uses
        assert count(head('SegFormerPaperHead')) == 3_167_398 - 2_451
        assert count(head('DeepLabV2Head', 2048)) == 4 * (9 * 2048 * 19 + 19)
        assert count(head('DeepLabV2Head', 2048, dilations=(6, 12))) == 2 * (9 * 2048 * 19 + 19)


@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), None])
@pytest.mark.parametrize('fusion', FUSIONS)
def test_variants_train_on_resnet_features(fusion, norm_cfg):
    channels = (8, 16, 32, 64)  # strides of a dilated ResNet: 4, 8, 8, 8
    inputs = tuple(torch.randn(2, c, s, s + 2) for c, s in zip(channels, (20, 10, 10, 10)))
    options = dict(isa_channels=8) if fusion == 'isa' else {}
    model = head(in_channels=channels, channels=8, embed_channels=8, num_classes=5, norm_cfg=norm_cfg,
                 fusion=dict(type=fusion, **options))
    logits = model(inputs)
    assert logits.shape == (2, 5, 20, 22)
    logits.pow(2).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    has_bn = any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert has_bn == (norm_cfg is not None)
    convs = [m for m in model.fuse_layer.modules() if isinstance(m, nn.Conv2d)]
    assert all((m.bias is not None) for m in convs) or norm_cfg is not None


def test_resnet101_widths():
    with torch.device('meta'):
        model = head(in_channels=(256, 512, 1024, 2048))
        maps = [torch.empty(1, c, s, s) for c, s in zip((256, 512, 1024, 2048), (16, 8, 8, 8))]
        assert model(maps).shape == (1, 19, 16, 16)


@pytest.mark.parametrize('kind,in_channels', [
    ('DAFormerHead', (8, 16)), ('SegFormerPaperHead', (8, 16)), ('DeepLabV2Head', 16)])
def test_fused_features_come_before_dropout_and_classifier(kind, in_channels):
    index = 1 if kind == 'DeepLabV2Head' else (0, 1)
    small = {} if kind == 'DeepLabV2Head' else dict(channels=12)
    model = head(kind, in_channels, 5, in_index=index, dropout_ratio=0.5, **small).eval()
    inputs = torch.randn(1, 8, 8, 8), torch.randn(1, 16, 4, 4)
    features = model.fused_features(inputs)
    assert features.shape == ((1, 16, 4, 4) if kind == 'DeepLabV2Head' else (1, 12, 8, 8))
    assert torch.equal(model(inputs), model.cls_seg(features))
    model.train()
    assert not torch.equal(model.cls_seg(features), model.cls_seg(features))  # dropout


@pytest.mark.filterwarnings('error:threshold is not defined')
def test_one_channel_head():
    model = head(num_classes=1, fusion=dict(type='conv1x1')).eval()
    assert model([x.float() for x in pyramid(1, 32, 32, 0.)]).shape == (1, 1, 8, 8)
    assert head('DeepLabV2Head', 16, num_classes=1).out_channels == 1


def test_dropout_and_classifier_initialization():
    torch.manual_seed(0)
    model = head()
    model.init_weights()
    assert isinstance(model.dropout, nn.Dropout2d) and model.dropout.p == 0.1
    assert model.conv_seg.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not model.conv_seg.bias.any()
    norm = model.fuse_layer.bottleneck.bn
    assert (norm.eps, norm.momentum) == (1e-5, 0.1) and (norm.weight == 1).all()


def test_interlaced_attention_groups_pixels():
    fusion = InterlacedAttentionFusion(3, 4, 4, (2, 4), 1, dict(type='BN'), dict(type='ReLU')).eval()
    seen = {}
    for name in ('global_relation', 'local_relation'):
        module = nn.Identity()
        module.register_forward_hook(lambda m, args, out, name=name: seen.update({name: args[0]}))
        setattr(fusion, name, module)
    x = torch.randn(2, 3, 4, 8)
    plain = fusion.in_conv(x)
    assert torch.equal(fusion(x), plain)
    # 2 images x 8 places in a group; 2x2 groups. Entry (image 1, place (1, 2)) = those pixels of all groups
    assert seen['global_relation'].shape == (16, 4, 2, 2)
    assert torch.equal(seen['global_relation'][8 + 1 * 4 + 2], plain[1, :, 1::2, 2::4])
    # 2 images x 4 groups; entry (image 1, group (0, 1)) = that block
    assert seen['local_relation'].shape == (8, 4, 2, 4)
    assert torch.equal(seen['local_relation'][4 + 1], plain[1, :, 0:2, 4:8])
    odd = torch.randn(1, 3, 5, 7)  # padded and cropped again
    assert torch.equal(fusion(odd), fusion.in_conv(odd))


def test_deeplab_v2_is_a_sum_of_dilated_convolutions():
    torch.manual_seed(0)
    model = head('DeepLabV2Head', 6, num_classes=4, dilations=(6, 12), in_index=1)
    model.init_weights()
    assert not hasattr(model, 'conv_seg') and model.dropout is None
    x = torch.randn(2, 6, 20, 20)
    convs = [m.conv for m in model.aspp_modules]
    expected = sum(F.conv2d(x, c.weight, c.bias, padding=d, dilation=d) for c, d in zip(convs, (6, 12)))
    assert torch.allclose(model([None, x]), expected, atol=1e-6)
    assert torch.cat([c.weight.flatten() for c in convs]).std().item() == pytest.approx(0.01, rel=0.1)
    assert not any(c.bias.any() for c in convs)


def test_segformer_head_is_linear_per_level():
    model = head('SegFormerPaperHead', (3, 5), 4, channels=6, in_index=(0, 1)).eval()
    fine, coarse = torch.randn(1, 3, 6, 8), torch.randn(1, 5, 3, 4)
    layers = model.linear_layers
    levels = [layers['0'].proj(fine.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
              F.interpolate(layers['1'].proj(coarse.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), (6, 8), mode='bilinear')]
    expected = model.conv_seg(model.linear_fuse(torch.cat(levels, 1)))
    assert torch.allclose(model((fine, coarse)), expected, atol=1e-6)


def test_neck_enlarges_chosen_levels():
    neck = MODELS.build(dict(type='FeatureUpsampleNeck', in_index=(3, ), scales=(8, )))
    inputs = [x.float() for x in pyramid(1, 64, 96, 0.)]
    outputs = neck(inputs)
    assert all(a is b for a, b in zip(inputs[:3], outputs))
    assert torch.equal(outputs[3], F.interpolate(inputs[3], (16, 24), mode='bilinear'))
    with pytest.raises(ValueError, match='one factor'):
        MODELS.build(dict(type='FeatureUpsampleNeck', in_index=(2, 3), scales=(4, )))


def test_context_at_f4_looks_only_at_the_last_level():
    model = head(in_channels=(4, 6), channels=8, embed_channels=8, in_index=(0, 1),
                 fusion=dict(type='context_f4')).eval()
    names = {k.split('.')[2] for k in model.state_dict() if k.startswith('embed_layers.1.')}
    assert names == {'0', '1'}  # plain convolution, ASPP
    fine = torch.zeros(1, 4, 16, 16, requires_grad=True)
    coarse = torch.zeros(1, 6, 16, 16, requires_grad=True)
    model.fused_features((fine, coarse))[0, :, 8, 8].sum().backward()
    assert fine.grad.abs().sum((0, 1)).count_nonzero() == 1  # per pixel
    assert coarse.grad.abs().sum((0, 1)).count_nonzero() > 25  # dilated context


@pytest.mark.parametrize('fusion,message', [
    (dict(type='sepaspp'), 'sep_aspp, aspp'),
    (dict(type='sep_aspp', dilation=(1, 2)), 'no option dilation; it takes: dilations'),
    (dict(type='conv1x1', dilations=(1, )), 'it takes: none'),
])
def test_unknown_fusion_settings(fusion, message):
    with pytest.raises(ValueError, match=message):
        build_fusion(fusion, 8, 8, None, None)


def test_misuse_is_refused():
    with pytest.raises(ValueError, match='one entry'):
        head(in_channels=(8, 16))
    with pytest.raises(ValueError, match='one entry'):
        head('SegFormerPaperHead', in_channels=(8, 16))
    with pytest.raises(ValueError, match='leave out channels=64'):
        head('DeepLabV2Head', 16, channels=64)
    with pytest.raises(TypeError, match='embed_chanels'):
        head(embed_chanels=3)


TINY_MIT = dict(type='MixTransformer', arch=None, embed_dims=8, num_layers=(1, 1, 1, 1), num_heads=(1, 2, 5, 8))
TINY = (8, 16, 40, 64)


def check_trains(model, size=64):
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=(size, size)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 5, (1, size, size)))
        samples.append(sample)
    model.init_weights()
    losses = model.train().loss(torch.randn(2, 3, size, size), samples)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.eval().encode_decode(torch.randn(1, 3, size, size), [dict(img_shape=(size, size))]).shape[-2:] == (
        size, size)


@pytest.mark.parametrize('decoder', [
    dict(type='DAFormerHead', in_channels=TINY, channels=8, embed_channels=8),
    dict(type='SegFormerPaperHead', in_channels=TINY, channels=8),
    dict(type='DeepLabV2Head', in_channels=64),
    dict(type='UPerHead', in_channels=list(TINY), in_index=[0, 1, 2, 3], channels=8, pool_scales=(1, 2, 3, 6),
         norm_cfg=dict(type='BN'), align_corners=False),
], ids=lambda d: d['type'])
def test_decoders_train_on_mix_transformer(decoder):
    check_trains(MODELS.build(dict(type='EncoderDecoder', backbone=TINY_MIT, test_cfg=dict(mode='whole'),
                                 decode_head=dict(decoder, num_classes=5))))


def test_context_f4_with_its_neck():
    model = MODELS.build(dict(
        type='EncoderDecoder', backbone=TINY_MIT, test_cfg=dict(mode='whole'),
        neck=dict(type='FeatureUpsampleNeck', in_index=(3, ), scales=(8, )),
        decode_head=dict(type='DAFormerHead', in_channels=TINY, channels=8, embed_channels=8, num_classes=5,
                         fusion=dict(type='context_f4'))))
    assert model.extract_feat(torch.randn(1, 3, 64, 64))[3].shape == (1, 64, 16, 16)
    check_trains(model)


@pytest.mark.skipif(not all(importlib.util.find_spec(m) for m in ('mmpretrain', 'torchvision')),
                    reason='mmpretrain or torchvision is not installed')
def test_daformer_head_trains_on_an_mmpretrain_backbone():
    from mmseg_dg.compat import ensure_torchvision
    ensure_torchvision()
    import mmpretrain.models  # noqa: F401
    check_trains(MODELS.build(dict(
        type='EncoderDecoder', test_cfg=dict(mode='whole'),
        backbone=dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2, 3)),
        decode_head=dict(type='DAFormerHead', in_channels=(64, 128, 256, 512), channels=8, embed_channels=8,
                         num_classes=5))))
