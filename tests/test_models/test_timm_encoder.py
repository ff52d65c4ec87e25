"""timm's Vision Transformers behind one wrapper; skipped where timm, an optional dependency, is not installed."""
import importlib.util
import logging

import pytest
import torch

from mmseg_dg.models.backbones import PlainViT, TimmEncoder
from mmseg_dg.models.backbones.adapters import LoRALinear
from mmseg_dg.weights.vit_names import to_dinov2

needs_timm = pytest.mark.skipif(importlib.util.find_spec('timm') is None, reason='timm is an optional dependency')
SMALL = dict(embed_dim=32, depth=4, num_heads=4, img_size=56)


@needs_timm
def test_a_model_from_a_local_file(tmp_path):
    name, args = 'vit_small_patch14_dinov2', SMALL
    theirs = TimmEncoder(name, timm_args=args).model
    torch.save(theirs.state_dict(), tmp_path / 'timm.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'timm.pth'))
    encoder = TimmEncoder(name, timm_args=args, init_cfg=init, resize='multiple').eval()
    encoder.init_weights()
    assert encoder.out_indices == (0, 1, 2, 3) and encoder.strides == (14, ) * 4 and encoder.embed_dims == 32
    x = torch.randn(1, 3, 56, 56)
    ours = PlainViT(dict(embed_dims=32, num_layers=4, num_heads=4), pos_grid=4).eval()
    ours.load_state_dict(to_dinov2(theirs.state_dict()))
    for a, b in zip(encoder(x), ours(x)):
        assert torch.allclose(a, b, atol=1e-5)
    assert encoder(torch.randn(1, 3, 60, 86))[0].shape == (1, 32, 4, 6)
    assert encoder.layer_depth('model.blocks.0.norm1.weight') == 3 and encoder.layer_depth('model.pos_embed') == 4
    with pytest.raises(ValueError, match='timm.pth does not fit this TimmEncoder'):
        TimmEncoder(name, timm_args=dict(args, embed_dim=16), init_cfg=init).init_weights()


@needs_timm
@pytest.mark.parametrize('name', ['eva02_tiny_patch14_224', 'vit_small_patch16_dinov3'])
def test_adapters_reach_eva_and_dinov3(name, caplog):
    with caplog.at_level(logging.WARNING, logger='mmengine'):
        encoder = TimmEncoder(name, timm_args=SMALL, resize='multiple', trainable='adapters',
                              lora=dict(rank=2), out_indices=[-1]).train()
    encoder(torch.randn(1, 3, 56, 70))[0].square().mean().backward()
    layers = [m for m in encoder.modules() if isinstance(m, LoRALinear)]
    assert len(layers) >= 4 * 4 and all(layer.lora_b.grad is not None for layer in layers)
    assert any(layer.lora_b.grad.abs().sum() > 0 for layer in layers)
    assert not encoder.frozen_names() & {n for n, p in encoder.named_parameters() if p.requires_grad}


@needs_timm
def test_the_norm_behind_the_pooling_is_the_final_norm(tmp_path):
    """EVA-02 pools before its norm, in ``fc_norm``; files have either name."""
    name, x = 'eva02_tiny_patch14_224', torch.randn(1, 3, 56, 56)
    encoder = TimmEncoder(name, timm_args=SMALL).eval()
    plain = TimmEncoder(name, timm_args=SMALL, final_norm=False).eval()
    # without it the encoder keeps its names, and the maps that a head was trained on
    assert 'model.fc_norm.weight' in plain.state_dict() and 'model.norm.weight' in encoder.state_dict()
    with pytest.raises(RuntimeError, match='model.fc_norm.weight'):
        encoder.load_state_dict(plain.state_dict())
    plain.load_state_dict({k.replace('model.norm.', 'model.fc_norm.'): v for k, v in encoder.state_dict().items()})
    with torch.no_grad():  # a norm that can be told from another
        encoder.model.norm.weight.copy_(torch.linspace(0.5, 2, 32))
    for normed, raw in zip(encoder(x), plain(x)):
        expected = torch.nn.functional.layer_norm(raw.movedim(1, -1), (32, ), encoder.model.norm.weight,
                                                  encoder.model.norm.bias, encoder.model.norm.eps).movedim(-1, 1)
        assert torch.allclose(normed, expected, atol=1e-5) and not torch.allclose(normed, raw, atol=1e-2)
    for key in ('norm', 'fc_norm'):
        state = {k.removeprefix('model.').replace('norm.', f'{key}.') if k.startswith('model.norm.')
                 else k.removeprefix('model.'): v for k, v in encoder.state_dict().items()}
        assert f'{key}.weight' in state
        torch.save(state, tmp_path / f'{key}.pth')
        other = TimmEncoder(name, timm_args=SMALL, init_cfg=dict(
            type='Pretrained', checkpoint=str(tmp_path / f'{key}.pth'))).eval()
        other.init_weights()
        assert torch.equal(other(x)[-1], encoder(x)[-1])
    with pytest.raises(ValueError, match=r'another side: set timm_args=dict\(img_size=56\) of the encoder'):
        TimmEncoder(name, timm_args=dict(SMALL, img_size=70), init_cfg=other.init_cfg).init_weights()
    with pytest.raises(ValueError, match='has no final norm: set final_norm=False'):
        TimmEncoder(name, timm_args=dict(SMALL, norm_layer=torch.nn.Identity))


@needs_timm
def test_refused():
    with pytest.raises(ValueError, match="no model 'vit_huge_patch3'; similar"):
        TimmEncoder('vit_huge_patch3')
    with pytest.raises(ValueError, match='resnet18'):
        TimmEncoder('resnet18')


def test_without_timm(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install "timm>=1.0.20"'):
        TimmEncoder('vit_small_patch14_dinov2')


@needs_timm
def test_activation_checkpointing_gives_the_same_gradients():
    found, x = [], torch.randn(1, 3, 56, 56)
    for with_cp in (False, True):
        torch.manual_seed(0)
        encoder = TimmEncoder('vit_small_patch14_dinov2', timm_args=SMALL, with_cp=with_cp).train()
        encoder(x)[-1].square().mean().backward()
        found.append([p.grad for p in encoder.parameters()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*found) if a is not None)
