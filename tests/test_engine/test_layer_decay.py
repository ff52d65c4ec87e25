"""Rates of every parameter under layer-wise decay, by hand."""
import pytest
import torch
from mmengine.registry import init_default_scope

from mmseg_dg.engine.optim import LayerDecayParamGroups
from mmseg_dg.registry import MODELS


def network(layers=12, **backbone):
    init_default_scope('mmseg_dg')
    return MODELS.build(dict(
        type='EncoderDecoder',
        backbone=dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=layers, num_heads=2),
                      pos_grid=2, **backbone),
        decode_head=dict(type='TokenLinearHead', in_channels=8, num_classes=3),
        train_cfg=dict(), test_cfg=dict(mode='whole')))


def rates(model, **paramwise):
    wrapper = LayerDecayParamGroups(dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1)),
                                    paramwise)(model)
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: (group['lr'], group['weight_decay']) for group in wrapper.optimizer.param_groups
            for p in group['params']}, wrapper.optimizer.param_groups


def test_rates_of_twelve_blocks():
    model = network()
    found, groups = rates(model, decay=0.9, encoder_mult=0.1, norm_decay_mult=0.)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    for name, (rate, decay) in found.items():
        if name.startswith('decode_head'):
            expected = 1e-3
        elif name.startswith('backbone.blocks.'):
            expected = 1e-4 * 0.9**(11 - int(name.split('.')[2]))
        else:
            expected = 1e-4 * 0.9**12
        assert rate == pytest.approx(expected, rel=1e-12), name
        assert decay == (0. if 'norm' in name else 0.1), name
    assert len(groups) == 2 * 13 + 1  # 12 blocks and the stem, with and without decay; the head
    assert found['backbone.blocks.11.attn.qkv.weight'][0] == pytest.approx(1e-4)


def test_without_decay_and_with_adapters():
    found, groups = rates(network(2), encoder_mult=0.5)
    assert {rate for rate, _ in found.values()} == {1e-3, 5e-4} and len(groups) == 2
    found, _ = rates(network(2, trainable='adapters', lora=dict(rank=2)), decay=0.5, encoder_mult=1.)
    assert all('lora' in name or 'bias' in name or name.startswith('decode_head') for name in found)
    assert found['backbone.blocks.0.attn.qkv.lora_a'][0] == pytest.approx(5e-4)


def test_refused():
    with pytest.raises(ValueError, match=r'decay=1.1 must lie in \(0, 1\]'):
        rates(network(1), decay=1.1)
    with pytest.raises(ValueError, match='Linear has no backbone'):
        rates(torch.nn.Linear(2, 2), decay=0.9)
    model = network(1)
    model.backbone = torch.nn.Conv2d(3, 8, 1)
    with pytest.raises(ValueError, match='Conv2d has no layer_depth'):
        rates(model, decay=0.9)
