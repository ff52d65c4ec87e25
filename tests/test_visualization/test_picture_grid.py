"""The command that draws predictions of several checkpoints."""
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

PALETTE = [[10, 20, 30], [200, 100, 0], [0, 0, 255]]
CONFIG = '''
default_scope = 'mmseg_dg'
custom_imports = dict(imports=['mmseg_dg'])
model = dict(type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'),
             backbone=dict(type='MobileNetV2', widen_factor=0.25, out_indices=(1, 6)),
             decode_head=dict(type='FCNHead', in_channels=80, in_index=1, channels=80, num_convs=0, concat_input=False,
                              num_classes=3, loss_decode=dict(type='CrossEntropyLoss')),
             train_cfg=dict(), test_cfg=dict(mode='whole'))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(day=dict(batch_size=1, dataset=dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.png', pipeline=pipeline,
    data_prefix=dict(img_path='img', seg_map_path='label'),
    metainfo=dict(classes=('road', 'sky', 'car'), palette={palette}))))
test_evaluator = dict(day=dict(type='ConfusionMatrixMetric', label_map=[0, 1, 0], scored_classes=['low', 'high']))
'''


@pytest.fixture(scope='module')
def tool():
    path = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'picture_grid.py'
    spec = importlib.util.spec_from_file_location('picture_grid', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path):
    for folder in ('img', 'label'):
        (tmp_path / folder).mkdir()
    for i in range(3):
        Image.fromarray(np.full((32, 48, 3), 60 * i, np.uint8)).save(tmp_path / 'img' / f'{i}.png')
        Image.fromarray(np.full((32, 48), i, np.uint8)).save(tmp_path / 'label' / f'{i}.png')
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=str(tmp_path), palette=PALETTE))
    return path


def constant_checkpoint(tool, config, path, class_id):
    """Weights that predict one class everywhere."""
    from mmengine.registry import init_default_scope

    from mmseg_dg.registry import MODELS
    init_default_scope('mmseg_dg')
    state = MODELS.build(Config.fromfile(config).model).state_dict()
    state['decode_head.conv_seg.weight'].zero_()
    state['decode_head.conv_seg.bias'].copy_(torch.nn.functional.one_hot(torch.tensor(class_id), 3).float())
    torch.save(dict(state_dict=state, meta={}), path)
    return path


def test_rows_and_columns(tool, config, tmp_path):
    sky, car = (constant_checkpoint(tool, config, tmp_path / f'{i}.pth', i) for i in (1, 2))
    out = tmp_path / 'grid.png'
    tool.main([str(out), '--config', str(config), '--checkpoints', f'before={sky}', f'after={car}', '--indices', '1',
               '2', '--device', 'cpu'])
    grid = cv2.imread(str(out))[..., ::-1]
    assert grid.shape == (2 * (32 + 22) + 4, 4 * (48 + 4) + 4, 3)
    cell = [[grid[22 + 54 * r, 6 + 52 * c].tolist() for c in range(4)] for r in range(2)]
    assert cell[0] == [[60] * 3, PALETTE[1], PALETTE[1], PALETTE[0]]  # the metric joins car with road
    assert cell[1] == [[120] * 3, PALETTE[0], PALETTE[1], PALETTE[0]]


def test_joined_classes_share_the_first_one_s_color(tool):
    metric = dict(type='ConfusionMatrixMetric', label_map=[1, 255, 0, 1])
    assert tool.display_table([metric], 4)[:6].tolist() == [0, 255, 2, 0, 4, 5]
    assert tool.display_table(dict(type='ConfusionMatrixMetric'), 4).tolist() == list(range(256))


def test_errors(tool, config, tmp_path):
    with pytest.raises(ValueError, match=r"NAME=PATH, not \['x.pth'\]"):
        tool.main(['a.png', '--config', str(config), '--checkpoints', 'x.pth'])
    with pytest.raises(ValueError, match=r"--domain dusk.*\['day'\]"):
        tool.main(['a.png', '--config', str(config), '--domain', 'dusk', '--checkpoints', 'a=x.pth'])
    good = constant_checkpoint(tool, config, tmp_path / 'a.pth', 0)
    state = torch.load(good)
    del state['state_dict']['decode_head.conv_seg.weight']
    torch.save(state, tmp_path / 'lost.pth')
    with pytest.raises(ValueError, match=r'lost\.pth lacks 1 tensors.*conv_seg'):
        tool.load_model(Config.fromfile(config), str(tmp_path / 'lost.pth'), 'cpu')
