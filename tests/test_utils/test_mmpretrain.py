"""Backbones and datasets of mmpretrain inside this package's networks."""
import importlib.util

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.registry import DATASETS, MODELS

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('mmpretrain', 'torchvision')),
    reason='needs mmpretrain and torchvision (make test installs both)')


@pytest.fixture(autouse=True)
def parts():
    import mmseg_dg.mmpretrain  # noqa: F401  what custom_imports of a config does


def network(**backbone):
    return MODELS.build(ConfigDict(
        type='EncoderDecoder', backbone=backbone, train_cfg=dict(), test_cfg=dict(mode='whole'),
        decode_head=dict(type='DAFormerHead', in_channels=[40, 80, 160, 320], in_index=[0, 1, 2, 3], channels=32,
                         embed_channels=32, num_classes=5, norm_cfg=dict(type='BN'), dropout_ratio=0.,
                         loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=False))))


def test_daformer_head_learns_on_a_convnext():
    torch.manual_seed(0)
    net = network(type='mmpretrain.ConvNeXt', arch='atto', out_indices=[0, 1, 2, 3], gap_before_final_norm=False)
    net.train()
    image = torch.randn(2, 3, 64, 64)
    labels = torch.randint(0, 5, (2, 1, 8, 8)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label), metainfo=dict(img_shape=(64, 64))) for label in labels]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = net.loss(image, samples)['decode.loss_ce']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.backbone.downsample_layers.parameters())


def test_datasets_and_transforms_of_mmpretrain_are_found():
    from mmseg_dg.registry import TRANSFORMS
    assert DATASETS.get('mmpretrain.CustomDataset').__module__.startswith('mmpretrain.')
    assert TRANSFORMS.get('mmpretrain.RandomErasing').__module__.startswith('mmpretrain.')
