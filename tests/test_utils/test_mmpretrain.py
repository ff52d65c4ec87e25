"""Backbones and datasets of mmpretrain inside this package's networks."""
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
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


@pytest.mark.parametrize('name, listed', [('imagenet21k', False), ('imagenet21k', True), ('imagenet1k', True)])
def test_images_of_imagenet_come_without_labels(tmp_path, name, listed):
    """Class folders, or a list beside them, as ImageNet is published; cropped to what the pretraining takes."""
    paths = [f'n0{k}/n0{k}_{i}.JPEG' for k in range(3) for i in range(2)]
    for index, path in enumerate(paths):
        (tmp_path / 'train' / path).parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(index).integers(0, 256, (260 + 40 * (index % 2), 240, 3), dtype=np.uint8)
        assert cv2.imwrite(str(tmp_path / 'train' / path), image)
    if listed:
        (tmp_path / 'meta').mkdir()
        (tmp_path / 'meta' / 'train.txt').write_text('\n'.join(f'{path} 0' for path in paths))
    root = Path(__file__).resolve().parents[2]
    cfg = Config.fromfile(root / f'configs/ddep/ddep_transunet_1x_{name}.py').train_dataloader.images.dataset
    dataset = DATASETS.build(dict(cfg, data_root=str(tmp_path)))
    assert sorted(str(Path(dataset.get_data_info(i)['img_path']).relative_to(tmp_path / 'train'))
                  for i in range(len(dataset))) == paths
    for sample in (dataset[0], dataset[5]):
        assert sample['inputs'].shape == (3, 224, 224) and sample['inputs'].dtype == torch.uint8
        assert 'gt_sem_seg' not in sample['data_samples'] and sample['data_samples'].img_path.endswith('.JPEG')
