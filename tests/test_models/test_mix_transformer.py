"""MixTransformer: the official numbers, any size, any precision, initialization and weights."""
import math

import pytest
import torch
from mmcv.cnn.bricks.drop import DropPath as MMCVDropPath
from recorded import load_small
from torch import nn

from mmseg_dg.models.backbones.drop_path import DropPath
from mmseg_dg.models.backbones.mix_transformer import MixTransformer, PackedAttention
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.official_names import from_official_backbone, official_gradients


def small(**kwargs) -> MixTransformer:
    torch.manual_seed(0)
    model = MixTransformer(arch=None, embed_dims=8, num_layers=(1, 2, 1, 1), num_heads=(1, 2, 5, 8), **kwargs)
    model.init_weights()
    return model


def relative(ours, reference) -> float:
    return ((ours - reference).abs().max() / reference.abs().max()).item()


@pytest.mark.claim('DAFormer')
@pytest.mark.parametrize('case', [0, 1])
def test_outputs_and_gradients_of_a_small_official_encoder(case):
    record = load_small('mit_tiny.pt')
    model = MODELS.build(dict(type='MixTransformer', arch=None, embed_dims=[8, 16, 24, 32], num_layers=[1, 1, 1, 1],
                              num_heads=[1, 2, 3, 4], drop_path_rate=0.)).eval()
    assert_official_outputs(model, record, case)


@pytest.mark.ci
@pytest.mark.parametrize('case', [0, 1, 2])
def test_outputs_and_gradients_of_the_official_b0(golden, case):
    assert_official_outputs(MODELS.build(dict(type='MixTransformer', arch='b0')).eval(), golden('mit_b0.pt'), case)


def assert_official_outputs(model, record, case):
    """Maps, a loss over them, its input gradient and the norm of every parameter's gradient."""
    model.load_state_dict(from_official_backbone({k: v.float() for k, v in record['state_dict'].items()}))
    case = record['cases'][case]
    image = case['input'].float().requires_grad_()
    features = model(image)
    loss = sum((i + 1) * f.pow(2).mean() for i, f in enumerate(features))
    loss.backward()
    assert [tuple(f.shape) for f in features] == [tuple(f.shape) for f in case['feats']]
    assert max(relative(a, b) for a, b in zip(features, case['feats'])) < 1e-5
    assert loss.item() == pytest.approx(float(case['loss']), rel=1e-6)
    assert relative(image.grad, case['grad_input']) < 1e-5
    ours = official_gradients((n, p.grad) for n, p in model.named_parameters())
    norms = {k: g.norm().item() for k, g in ours.items()}
    assert norms == pytest.approx(case['grad_norms'], rel=1e-5)


@pytest.mark.claim('DAFormer')
def test_layer_norm_eps_is_the_official_one(recorded):
    model = MixTransformer('b0')
    ours = {n: m.eps for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    weights = official_gradients({f'{n}.weight': torch.tensor(e, dtype=torch.float64) for n, e in ours.items()})
    assert {k[:-len('.weight')]: v.item() for k, v in weights.items()} == recorded('mit_meta')['b0']['eps']


@pytest.mark.claim('DAFormer')
@pytest.mark.parametrize('arch', ['b0', 'b5'])
def test_drop_path_rates(recorded, arch):
    with torch.device('meta'):
        model = MixTransformer(arch)
    blocks = {f'block{i + 1}.{j}.drop_path': b for i, s in enumerate(model.layers) for j, b in enumerate(s[1])}
    first = blocks.pop('block1.0.drop_path')
    assert first.attn.dropout_layer.drop_prob == first.ffn.dropout_layer.drop_prob == 0.
    expected = recorded('mit_meta')[arch]['drop_path_prob']
    assert {k: b.attn.dropout_layer.drop_prob for k, b in blocks.items()} == pytest.approx(expected, rel=1e-6)
    assert {k: b.ffn.dropout_layer.drop_prob for k, b in blocks.items()} == pytest.approx(expected, rel=1e-6)


@pytest.mark.claim('DAFormer')
def test_b5_parameters_without_memory(recorded):
    with torch.device('meta'):
        model = MixTransformer('b5')
        model.init_weights()
    assert sum(p.numel() for p in model.parameters()) == 81_443_008
    ours = {k: tuple(v.shape) for k, v in official_gradients(model.state_dict()).items()}
    assert ours == {k: tuple(v) for k, v in recorded('mit_meta')['b5']['shapes'].items()}


@pytest.mark.parametrize('arch,millions', [('b1', 13.2), ('b2', 24.2), ('b3', 44.1), ('b4', 60.8)])
def test_sizes_between(arch, millions):
    with torch.device('meta'):
        count = sum(p.numel() for p in MixTransformer(arch).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=1.0)


def test_state_dict_is_that_of_mmseg():
    from mmseg.models.backbones import MixVisionTransformer
    stock = MixVisionTransformer(embed_dims=8, num_layers=[1, 2, 1, 1], num_heads=[1, 2, 5, 8]).double().eval()
    ours = small().double().eval()
    ours.load_state_dict(stock.state_dict())
    image = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    # the eps of some norms differ, nothing else
    assert max(relative(a, b) for a, b in zip(ours(image), stock(image))) < 1e-3
    for module in list(ours.modules()) + list(stock.modules()):
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    assert max(relative(a, b) for a, b in zip(ours(image), stock(image))) < 1e-12


@pytest.mark.parametrize('size', [(32, 32), (33, 61), (100, 132), (47, 40)])
def test_any_size(size):
    model = small().eval()
    features = model(torch.randn(1, 3, *size))
    assert [f.shape[1] for f in features] == [8, 16, 40, 64]
    for feature, stride in zip(features, (4, 8, 16, 32)):
        assert tuple(feature.shape[2:]) == tuple(math.ceil(n / stride) for n in size)
        assert feature.is_contiguous()


def test_images_too_small_are_named():
    with pytest.raises(ValueError, match='6x6 is smaller than the spatial reduction 8'):
        small()(torch.randn(1, 3, 24, 24))


def test_out_indices():
    model = small(out_indices=(1, 3)).eval()
    assert [f.shape[1] for f in model(torch.randn(1, 3, 32, 32))] == [16, 64]
    with pytest.raises(ValueError, match='stages 0..3'):
        small(out_indices=(4, ))


def test_modes_return_the_module_and_control_drop_path():
    model = small(drop_path_rate=0.5)
    image = torch.randn(4, 3, 32, 32)
    assert model.eval() is model
    assert torch.equal(model(image)[-1], model(image)[-1])
    assert model.train() is model
    assert not torch.equal(model(image)[-1], model(image)[-1])


def test_float64_agrees_with_float32():
    model = small().eval()
    image = torch.randn(1, 3, 64, 64)
    single = model(image)
    double = model.double()(image.double())
    assert all(f.dtype == torch.float64 for f in double)
    assert max(relative(a.double(), b) for a, b in zip(single, double)) < 1e-5


def test_bfloat16_autocast_trains():
    model = small(drop_path_rate=0.).train()
    image = torch.randn(2, 3, 64, 64)
    exact = model(image)
    with torch.autocast('cpu', torch.bfloat16):
        features = model(image)
        loss = sum(f.float().pow(2).mean() for f in features)
    loss.backward()
    assert max(relative(a.float(), b) for a, b in zip(features, exact)) < 0.1
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_checkpointing_changes_no_gradient():
    gradients = []
    for with_cp in (False, True):
        model = small(with_cp=with_cp, drop_path_rate=0.5).train()
        torch.manual_seed(3)
        sum(f.pow(2).mean() for f in model(torch.ones(2, 3, 32, 48))).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


def test_attention_weights_are_those_of_torch():
    attention = PackedAttention(24, 3).double()
    reference = nn.MultiheadAttention(24, 3, batch_first=True).double()
    reference.load_state_dict(attention.state_dict())
    query, memory = torch.randn(2, 7, 24).double(), torch.randn(2, 5, 24).double()
    assert torch.allclose(attention(query, memory), reference(query, memory, memory)[0], atol=1e-12)


def test_drop_path_draws_as_mmcv_and_is_exact_in_bfloat16():
    ours, theirs, x = DropPath(0.3).train(), MMCVDropPath(0.3).train(), torch.randn(64, 3, 5)
    torch.manual_seed(1)
    expected = theirs(x)
    torch.manual_seed(1)
    assert torch.equal(ours(x), expected)
    ones = torch.ones(20000, 1, dtype=torch.bfloat16)
    assert DropPath(0.002).train()(ones).max() < 1.5  # a mask drawn in bfloat16 would reach 2
    state = torch.get_rng_state()
    assert DropPath(0.).train()(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_scratch_initialization():
    torch.manual_seed(0)
    model = MixTransformer('b1')
    model.init_weights()
    stage, block = model.layers[3], model.layers[3][1][0]
    assert block.attn.attn.in_proj_weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.attn.attn.out_proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.ffn.layers[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.ffn.layers[1].weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert stage[0].projection.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 512)), rel=0.05)
    assert model.layers[0][1][0].attn.sr.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 64)), rel=0.05)
    assert all(not p.any() for n, p in model.named_parameters() if n.endswith('bias'))
    assert all((p == 1).all() for n, p in model.named_parameters() if n.endswith('norm.weight'))


@pytest.mark.parametrize('layout', ['official', 'mmseg', 'prefixed'])
def test_pretrained_file(tmp_path, layout):
    donor = small()
    state = donor.state_dict()
    if layout == 'official':
        state = dict(official_gradients(state), **{'head.weight': torch.ones(10, 64), 'head.bias': torch.ones(10)})
    elif layout == 'prefixed':
        state = dict(state_dict={f'backbone.{k}': v for k, v in state.items()})
    file = tmp_path / 'mit.pth'
    torch.save(state, file)
    init = dict(type='Pretrained', checkpoint=str(file))
    if layout == 'prefixed':
        init['prefix'] = 'backbone.'
    model = MixTransformer(None, embed_dims=8, num_layers=(1, 2, 1, 1), num_heads=(1, 2, 5, 8), init_cfg=init)
    model.init_weights()
    assert all(torch.equal(v, donor.state_dict()[k]) for k, v in model.state_dict().items())


def test_pretrained_file_that_is_missing_or_of_another_size(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth.*init_cfg=None'):
        small(init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth'))
    file = tmp_path / 'mit.pth'
    torch.save(small().state_dict(), file)
    with pytest.raises(ValueError, match='mit.pth does not fit'):
        MixTransformer('b0', init_cfg=dict(type='Pretrained', checkpoint=str(file))).init_weights()


@pytest.mark.parametrize('kwargs,message', [
    (dict(arch='b6'), 'b0, b1'),
    (dict(arch=None), 'needs embed_dims'),
    (dict(arch='b0', num_layers=(1, 1, 1)), 'one entry per stage'),
    (dict(arch='b0', embed_dims=(32, 64, 161, 256)), '161 cannot be split into 5'),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MixTransformer(**kwargs)
