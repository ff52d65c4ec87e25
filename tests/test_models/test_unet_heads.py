"""U-Net decoders: sizes, strides, widths, and encoders with a stride-2 level."""
import pytest
import torch

from mmseg_dg.models.backbones import StemMobileNetV2, StemResNet
from mmseg_dg.models.decode_heads import TransUNetHead, UNetHead
from mmseg_dg.registry import MODELS

LOSS = dict(type='CrossEntropyLoss')


def levels(channels, size, stride=2):
    """Maps as an encoder with SAME padding gives them: sizes rounded up."""
    return [torch.rand(2, c, *(-(-n // (stride * 2**i)) for n in size)) for i, c in enumerate(channels)]


@pytest.mark.parametrize('size', [(64, 64), (96, 64), (75, 49)])
@pytest.mark.parametrize('widths, stride', [((12, 10, 8), 2), ((12, 10, 8, 6), 1)])
def test_unet_output_stride(size, widths, stride):
    head = UNetHead([4, 6, 8, 10], widths, num_classes=5, loss_decode=LOSS)
    features = head.fused_features(levels([4, 6, 8, 10], size))
    half = [-(-n // 2) for n in size]
    expected = half if stride == 2 else [2 * n for n in half]  # an odd image is overshot by one pixel
    assert features.shape == (2, widths[-1], *expected)
    assert head(levels([4, 6, 8, 10], size)).shape == (2, 5, *expected)


def test_unet_uses_every_level():
    head = UNetHead([4, 6, 8], [8, 8], num_classes=3, loss_decode=LOSS)
    maps = [x.requires_grad_() for x in levels([4, 6, 8], (32, 32))]
    head.fused_features(maps).square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in maps)


def test_unet_picks_levels():
    head = UNetHead([4, 8], [8], num_classes=3, in_index=[0, 2], loss_decode=LOSS)
    assert head.fused_features(levels([4, 6, 8], (32, 32))).shape == (2, 8, 16, 16)


@pytest.mark.parametrize('multiplier', [1, 2, 3])
def test_transunet_widths(multiplier):
    """docs/behavior/ddep.md#confirmed-inferred-unconfirmed: [1024, 512, 256, 128, 64] times the multiplier."""
    with torch.device('meta'):
        head = TransUNetHead(num_classes=19, width_multiplier=multiplier, loss_decode=LOSS)
    widths = [1024 * multiplier, 512 * multiplier, 256 * multiplier, 128 * multiplier, 64 * multiplier]
    assert [head.bottleneck.conv.out_channels] + [b.conv2.out_channels for b in head.blocks] == widths
    assert [b.conv1.conv.in_channels - w for b, w in zip(head.blocks, widths)] == [512, 256, 64, 0], 'skips'
    assert head.bottleneck.conv.in_channels == 768 and head.conv_seg.in_channels == head.channels == widths[-1]
    assert head.conv_seg.kernel_size == (3, 3)
    expected = 0
    below = 768
    for width, skip in zip(widths, (0, 512, 256, 64, 0)):
        expected += 9 * (below + skip) * width + 2 * width  # 3x3 convolution and BatchNorm
        expected += 0 if width == widths[0] else 9 * width * width + 2 * width
        below = width
    assert sum(p.numel() for p in head.parameters()) == expected + 9 * below * 19 + 19


@pytest.mark.parametrize('size', [(64, 64), (80, 112), (50, 33)])
def test_transunet_on_its_encoder_at_any_size(size):
    encoder = MODELS.build(dict(type='HybridViT', stem_channels=32, stages=(1, 1, 1), embed_dims=24, num_layers=1,
                                num_heads=2, feedforward_channels=32, pos_grid=(4, 4))).eval()
    head = TransUNetHead((32, 128, 256, 24), (16, 16, 8, 8, 8), num_classes=4, loss_decode=LOSS).eval()
    with torch.no_grad():
        logits = head(encoder(torch.rand(1, 3, *size) * 2 - 1))
    assert logits.shape == (1, 4, *(2 * -(-n // 2) for n in size))


@pytest.mark.parametrize('change, message', [
    (dict(in_channels=[4]), 'two or more'), (dict(widths=[8]), 'at least one entry per skip'),
    (dict(in_index=[0, 1]), 'one entry per level'), (dict(classifier_kernel=2), 'odd')])
def test_unet_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        UNetHead(**dict(dict(in_channels=[4, 6, 8], widths=[8, 8], num_classes=3, loss_decode=LOSS), **change))


@pytest.mark.parametrize('change, message', [
    (dict(width_multiplier=0), '1, 2, 3'), (dict(width_multiplier=1.5), '1.5'),
    (dict(widths=(8, 8, 8, 8)), 'full resolution')])
def test_transunet_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        TransUNetHead(num_classes=3, loss_decode=LOSS, **change)


@pytest.mark.parametrize('kind, stock, options, stem', [
    (StemMobileNetV2, 'mmseg.MobileNetV2', dict(out_indices=(1, 2, 4, 6)), 32),
    (StemResNet, 'mmseg.ResNet', dict(depth=18), 64),
    (StemResNet, 'mmseg.ResNetV1c', dict(depth=18), 64),
])
def test_stem_encoders(kind, stock, options, stem):
    """The stock encoder's names and levels, with the stem before them."""
    torch.manual_seed(0)
    theirs = MODELS.build(dict(options, type=stock))
    deep = dict(deep_stem=True) if stock.endswith('V1c') else {}
    ours = kind(**options, **deep)
    ours.load_state_dict(theirs.state_dict())
    for encoder in (ours, theirs):
        encoder.eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        first, *rest = ours(images)
        expected = theirs(images)
    assert first.shape == (1, stem, 32, 48) and len(rest) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(rest, expected))
