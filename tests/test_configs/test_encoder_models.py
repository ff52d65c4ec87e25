"""Shared networks on foundation encoders: they build, and encoder, neck and head fit each other."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_dg.weights.comparison import build_on_meta
from mmseg_dg.weights.files import entry_of, without_pretrained

MODELS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'models'
FILES = sorted([*MODELS.glob('dinov2_*.py'), *MODELS.glob('tinyvit_*.py')])


@pytest.mark.parametrize('path', FILES, ids=[path.stem for path in FILES])
def test_network_on_a_foundation_encoder(path):
    model = Config.fromfile(path).model
    backbone = model.network.backbone
    assert entry_of(backbone.init_cfg.checkpoint) is not None or path.stem.startswith('tinyvit')
    network = build_on_meta(without_pretrained(model.network))
    size = 518 if backbone.get('patch_size', 14) == 14 else 512
    maps = network.extract_feat(torch.zeros(1, 3, size, size, device='meta'))
    logits = network.decode_head(maps)
    assert logits.shape[:2] == (1, model.network.decode_head.num_classes)
    if backbone.type == 'PlainViT':
        assert path.stem.split('_')[1] == backbone.arch
        assert backbone.init_cfg.checkpoint == f'pretrained/dinov2_{backbone.arch}.pth'
