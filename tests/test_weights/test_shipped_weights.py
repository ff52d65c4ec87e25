"""Weights inside the package: file and card agree, errors name what is there."""
from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import load_file

from mmseg_dg.weights.files import check_file, check_pretrained, sha256_of
from mmseg_dg.weights.shipped import (
    ASSETS,
    card,
    shipped_file,
    shipped_names,
    write_safetensors,
)


@pytest.mark.parametrize('name', shipped_names())
def test_file_and_card_agree(name):
    about, path = card(name), ASSETS / f'{name}.safetensors'
    assert about['sha256'] == sha256_of(path)
    assert about['bytes'] == path.stat().st_size <= 4_500_000
    assert about['encoder_license'] and about['encoder_origin'] and about['command'] and about['seed'] is not None
    assert len(about['commit']) == 40
    stored = load_file(path)
    assert {v.dtype for v in stored.values() if v.is_floating_point()} == {torch.float16}


def test_the_package_ships_the_demo_network():
    assert 'city_day_mobilenetv2' in shipped_names()


def test_it_loads_through_mmengine():
    state = CheckpointLoader.load_checkpoint('mmseg_dg://city_day_mobilenetv2', map_location='cpu')['state_dict']
    assert state['backbone.conv1.conv.weight'].shape == (32, 3, 3, 3)
    assert state['decode_head.conv_seg.weight'].shape[0] == 19


def test_it_is_the_network_of_the_demo():
    from mmengine.config import Config

    from mmseg_dg.registry import MODELS
    root = Path(__file__).resolve().parents[2]
    network = MODELS.build(Config.fromfile(root / 'configs/demo/daformer_synthcity_demo.py').model.network)
    stored = load_file(shipped_file('mmseg_dg://city_day_mobilenetv2'))
    assert {k: v.shape for k, v in stored.items()} == {k: v.shape for k, v in network.state_dict().items()}
    network.train()
    assert not any(m.training for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_an_encoder_takes_its_part_of_the_file():
    from mmseg_dg.registry import MODELS
    encoder = MODELS.build(dict(type='mmseg.MobileNetV2', out_indices=(1, 2, 4, 6), init_cfg=dict(
        type='Pretrained', checkpoint='mmseg_dg://city_day_mobilenetv2', prefix='backbone.')))
    shares = check_pretrained(encoder)
    assert [round(share.share, 2) for share in shares.values()] == [pytest.approx(1, abs=0.02)]
    encoder.init_weights()
    stored = load_file(shipped_file('mmseg_dg://city_day_mobilenetv2'))
    assert encoder.conv1.conv.weight.dtype == torch.float32
    assert torch.equal(encoder.conv1.conv.weight, stored['backbone.conv1.conv.weight'].float())


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(FileNotFoundError, match="ships mmseg_dg://city_day_mobilenetv2, not 'city_night'"):
        check_file('mmseg_dg://city_night')


def test_half_precision_must_hold_the_values(tmp_path):
    with pytest.raises(ValueError, match='big has values beyond half precision'):
        write_safetensors(dict(big=torch.tensor([1e6])), tmp_path / 'x.safetensors')
    write_safetensors(dict(w=torch.tensor([0.5, -2.]), n=torch.tensor(7)), tmp_path / 'x.safetensors')
    state = load_file(tmp_path / 'x.safetensors')
    assert state['w'].tolist() == [0.5, -2.] and state['w'].dtype == torch.float16 and int(state['n']) == 7
