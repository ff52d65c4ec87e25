"""Decoders on tokens: shapes, published sizes, steps by hand; and the neck for decoders of pyramids."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from mmseg_dg.models.decode_heads import DPTHead, TokenLinearHead, TokenUpscaleHead
from mmseg_dg.models.necks import TokenPyramidNeck
from mmseg_dg.registry import MODELS

LOSS = dict(type='CrossEntropyLoss', use_sigmoid=False)


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_linear_head_is_one_linear_layer():
    head = TokenLinearHead(32, num_classes=5)
    head.init_weights()
    maps = [torch.randn(2, 8, 3, 4), torch.randn(2, 32, 3, 4)]
    weight, bias = head.conv_seg.weight[:, :, 0, 0], head.conv_seg.bias
    expected = (maps[1].permute(0, 2, 3, 1) @ weight.T + bias).permute(0, 3, 1, 2)
    assert torch.allclose(head(maps), expected, atol=1e-6)
    assert sum(p.numel() for p in head.parameters()) == 33 * 5 and torch.equal(head.fused_features(maps), maps[1])


def test_upscale_head_by_hand():
    torch.manual_seed(0)
    head = TokenUpscaleHead(16, num_classes=3).double()
    head.init_weights()
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    up = head.upscale

    def norm(y):
        mean, var = y.mean(1, keepdim=True), y.var(1, keepdim=True, correction=0)
        return (y - mean) / (var + 1e-6).sqrt()

    y = F.gelu(norm(F.conv_transpose2d(x, up[0].weight, stride=2)))
    y = norm(F.conv_transpose2d(y, up[3].weight, stride=2))
    y = norm(F.conv2d(y, up[5].weight, padding=1))
    assert torch.allclose(head.fused_features([x]), y, atol=1e-10)
    assert torch.allclose(head([x]), F.conv2d(y, head.conv_seg.weight), atol=1e-10)
    assert head([x]).shape == (2, 3, 12, 16)
    assert head.conv_seg.bias is None and all(m.bias is None for m in (up[0], up[3], up[5]))
    wide = TokenUpscaleHead(768, num_classes=100)
    wide.init_weights()
    assert wide.conv_seg.weight.std().item() == pytest.approx(0.1, rel=0.05)
    with pytest.raises(ValueError, match='in_channels=18 must be a multiple of 4'):
        TokenUpscaleHead(18, num_classes=3)


@pytest.mark.parametrize('width, unused, published', [(384, 64, 2.73), (768, 128, 10.9)])
def test_dpt_head_has_the_published_size(width, unused, published):
    head = DPTHead([width] * 4, num_classes=21)
    never_used = 2 * (9 * unused * unused + unused) / 1e6  # in the coarsest block of the published network
    assert millions(head) + never_used == pytest.approx(published, rel=0.01)


def test_dpt_head_levels():
    torch.manual_seed(0)
    head = DPTHead([8] * 4, channels=4, level_channels=(2, 3, 4, 5), num_classes=6)
    head.init_weights()
    maps = [torch.randn(2, 8, 5, 7) for _ in range(4)]
    assert head(maps).shape == (2, 6, 40, 56) and head.fused_features(maps).shape == (2, 4, 40, 56)
    sizes = [tuple(r(p(x)).shape[1:]) for r, p, x in zip(head.resizes, head.projects, maps)]
    assert sizes == [(2, 20, 28), (3, 10, 14), (4, 5, 7), (5, 3, 4)]
    head(maps).sum().backward()
    assert all(p.grad is not None for p in head.parameters())
    for i in range(4):  # every map matters
        changed = [x + (j == i) for j, x in enumerate(maps)]
        assert not torch.allclose(head(changed), head(maps))


def test_dpt_head_refuses():
    with pytest.raises(ValueError, match='must have four entries: set out_indices'):
        DPTHead([384], num_classes=2, in_index=[0])
    with pytest.raises(ValueError, match=r'no published widths for in_channels=\(8, 8, 8, 8\)'):
        DPTHead([8] * 4, num_classes=2)


def test_pyramid_of_one_map_and_of_four():
    neck = TokenPyramidNeck()
    x = torch.randn(1, 8, 6, 4)
    levels = neck([x])
    assert [tuple(level.shape[2:]) for level in levels] == [(24, 16), (12, 8), (6, 4), (3, 2)]
    assert levels[2] is x and not list(neck.parameters())
    assert torch.equal(levels[0], F.interpolate(x, scale_factor=4, mode='bilinear'))
    four = neck([x + i for i in range(4)])
    assert torch.equal(four[2], x + 2) and torch.equal(four[1], F.interpolate(x + 1, scale_factor=2, mode='bilinear'))
    with pytest.raises(ValueError, match='2 maps for 4 levels: set out_indices'):
        neck([x, x])
    with pytest.raises(ValueError, match='must be positive'):
        TokenPyramidNeck(scales=(4, 0))


@pytest.mark.parametrize('head', [
    dict(type='DAFormerHead', channels=8, embed_channels=8, in_index=[0, 1, 2, 3],
         fusion=dict(type='sep_aspp', dilations=(1, 2))),
    dict(type='SegFormerPaperHead', channels=8, in_index=[0, 1, 2, 3]),
    dict(type='UPerHead', channels=8, in_index=[0, 1, 2, 3], pool_scales=(1, 2), norm_cfg=dict(type='BN'))])
def test_decoders_of_pyramids_on_tokens(head):
    init_default_scope('mmseg_dg')
    network = MODELS.build(dict(
        type='EncoderDecoder',
        backbone=dict(type='PlainViT', arch=dict(embed_dims=16, num_layers=4, num_heads=2), patch_size=16, pos_grid=4,
                      out_indices=[-1], init_cfg=None),
        neck=dict(type='TokenPyramidNeck'),
        decode_head=dict(head, in_channels=[16] * 4, num_classes=3, dropout_ratio=0., loss_decode=LOSS),
        train_cfg=dict(), test_cfg=dict(mode='whole')))
    network.init_weights()
    maps = network.extract_feat(torch.randn(2, 3, 64, 96))
    assert network.decode_head(maps).shape == (2, 3, 16, 24)
