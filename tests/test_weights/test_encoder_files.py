"""Files of foundation encoders: known names, renaming, and what is said of wrong ones."""
import pytest
import torch
from mmengine.registry import init_default_scope

from mmseg_dg.registry import MODELS
from mmseg_dg.weights import preparation
from mmseg_dg.weights.files import Problem, weights_table

VIT = dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=2, num_heads=2), pos_grid=2)
TINY = dict(type='TinyViT', arch=dict(channels=(16, 32, 32, 64), heads=(1, 1, 1, 1), depths=(1, 1, 1, 1)))


@pytest.fixture
def prepare(monkeypatch, tmp_path):
    """``prepare(layout, backbone, state)`` writes the state as a fetched file and prepares it."""
    init_default_scope('mmseg_dg')

    def run(layout, backbone, state):
        entry = dict(file='pretrained/small.pth', layout=layout, sha256=None, source='somewhere',
                     candidates=['fetched*.pth'], backbone=backbone)
        monkeypatch.setattr(preparation, 'weights_table', lambda: dict(small=entry))
        torch.save(state, tmp_path / 'fetched.pth')
        preparation.prepare('small', tmp_path)
        return torch.load(tmp_path / 'small.pth')

    return run


def test_known_names():
    table = weights_table()
    names = [f'dinov2_{size}{kind}' for size in ('small', 'base', 'large', 'giant') for kind in ('', '_reg')]
    assert {*names, 'tinyvit_5m_sam'} <= set(table)
    init_default_scope('mmseg_dg')
    for name in names:
        with torch.device('meta'):
            encoder = MODELS.build(table[name]['backbone'])
        assert (encoder.register_tokens is not None) == name.endswith('_reg')
        assert table[name]['source'].startswith('DINOv2 authors (code and weights Apache-2.0)')


def test_renamed_files_fill_the_encoder(prepare):
    encoder = MODELS.build(VIT)
    encoder.init_weights()
    ours = encoder.state_dict()
    assert prepare('dinov2', VIT, ours).keys() == ours.keys()
    theirs = {key.replace('patch_embed.proj', 'patch_embed.projection').replace('blocks', 'layers')
              .replace('.norm1.', '.ln1.').replace('.norm2.', '.ln2.').replace('.ls1.gamma', '.attn.gamma1.weight')
              .replace('.ls2.gamma', '.ffn.gamma2.weight').replace('.mlp.fc1.', '.ffn.layers.0.0.')
              .replace('.mlp.fc2.', '.ffn.layers.1.').replace('norm.', 'ln1.'): value
              for key, value in ours.items() if key != 'mask_token'}
    found = prepare('dinov2', VIT, dict(state_dict={f'backbone.{key}': value for key, value in theirs.items()}))
    assert all(torch.equal(found[key], value) for key, value in ours.items())


def test_mobile_sam_file(prepare):
    encoder = MODELS.build(TINY)
    state = encoder.state_dict()
    fetched = {**{f'image_encoder.{key}': value for key, value in state.items()},
               'image_encoder.neck.0.weight': torch.zeros(1), 'mask_decoder.x': torch.zeros(1)}
    found = prepare('tinyvit', TINY, fetched)
    assert found.keys() == state.keys() and all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize('layout, backbone, state, message', [
    ('dinov2', VIT, {'embeddings.cls_token': torch.zeros(1)}, 'layout transformers'),
    ('tinyvit', TINY, {'conv1.weight': torch.zeros(1)}, 'not those of a TinyViT'),
])
def test_wrong_files(prepare, layout, backbone, state, message):
    with pytest.raises(Problem, match=message):
        prepare(layout, backbone, state)
