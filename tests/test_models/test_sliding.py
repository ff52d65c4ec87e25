"""Sliding windows whose probabilities are averaged."""
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmseg_dg.registry import MODELS

SIZE, CROP, STRIDE = (20, 28), (16, 16), (10, 10)
#: (y1, y2, x1, x2): the last window of each axis ends at the border.
WINDOWS = [(y, y + 16, x, x + 16) for y in (0, 4) for x in (0, 10, 12)]


@pytest.fixture(scope='module')
def network():
    init_default_scope('mmseg_dg')
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='SlidingEncoderDecoder',
            backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                          out_indices=(0, 1, 2, 3), strides=(1, 2, 2, 1), norm_cfg=dict(type='BN')),
            decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=3,
                             align_corners=True),
            test_cfg=dict(mode='slide', crop_size=CROP, stride=STRIDE))).eval()


def windows_of(network, images, transform):
    total, count = torch.zeros(len(images), 3, *SIZE), torch.zeros(SIZE)
    for y1, y2, x1, x2 in WINDOWS:
        logits = network.decode_head(network.extract_feat(images[:, :, y1:y2, x1:x2]))
        logits = torch.nn.functional.interpolate(logits, CROP, mode='bilinear', align_corners=True)
        total[:, :, y1:y2, x1:x2] += transform(logits)
        count[y1:y2, x1:x2] += 1
    return total / count


@torch.no_grad()
@pytest.mark.parametrize('mode', ['softmax', 'logits'])
def test_windows_are_averaged(network, mode):
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * 3
    network.test_cfg = ConfigDict(mode='slide', crop_size=CROP, stride=STRIDE, window_sum=mode)
    found = network.slide_inference(images, [{}, {}])
    if mode == 'softmax':
        torch.testing.assert_close(found.exp(), windows_of(network, images, lambda x: x.softmax(1)))
        torch.testing.assert_close(found.exp().sum(1), torch.ones(2, *SIZE))
    else:
        torch.testing.assert_close(found, windows_of(network, images, lambda x: x))


@torch.no_grad()
def test_logits_are_mmsegs_own_way(network):
    from mmseg.models import EncoderDecoder
    images = torch.randn(1, 3, *SIZE)
    network.test_cfg = ConfigDict(mode='slide', crop_size=CROP, stride=STRIDE)
    theirs = EncoderDecoder.slide_inference(network, images, [dict(img_shape=SIZE)])
    torch.testing.assert_close(network.slide_inference(images), theirs)


def test_unknown_sums_are_refused(network):
    network.test_cfg = ConfigDict(mode='slide', crop_size=CROP, stride=STRIDE, window_sum='max')
    with pytest.raises(ValueError, match="must be one of .*'max'"):
        network.slide_inference(torch.zeros(1, 3, *SIZE))
