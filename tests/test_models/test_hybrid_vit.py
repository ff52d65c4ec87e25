"""The hybrid encoder against an independent forward pass over the public weight layout, and its converter."""
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_dg.models.backbones import HybridViT
from mmseg_dg.models.backbones.hybrid_vit import StandardizedConv2d
from mmseg_dg.weights.files import Problem
from mmseg_dg.weights.hybrid_vit import convert_file, convert_hybrid_vit
from mmseg_dg.weights.preparation import prepare

ROOT = Path(__file__).resolve().parents[2]
SMALL = dict(stem_channels=32, stages=(2, 1, 2), embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=40,
             pos_grid=(4, 4))


def public_arrays(stem=32, stages=(2, 1, 2), dims=24, layers=2, heads=3, hidden=40, grid=4, seed=0):
    """Random arrays with the names and shapes of R50+ViT-B_16.npz."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def put(name, *shape, scale=0.2, offset=0.0):
        arrays[name] = (offset + scale * rng.standard_normal(shape)).astype(np.float32)

    def group_norm(name, channels):
        put(f'{name}/scale', 1, 1, 1, channels, offset=1.0)
        put(f'{name}/bias', 1, 1, 1, channels)

    put('conv_root/kernel', 7, 7, 3, stem)
    group_norm('gn_root', stem)
    channels = stem
    for s, units in enumerate(stages, 1):
        width = stem * 2**(s - 1)
        for u in range(1, units + 1):
            at = f'block{s}/unit{u}'
            if u == 1:
                put(f'{at}/conv_proj/kernel', 1, 1, channels, 4 * width)
                group_norm(f'{at}/gn_proj', 4 * width)
            put(f'{at}/conv1/kernel', 1, 1, channels, width)
            put(f'{at}/conv2/kernel', 3, 3, width, width)
            put(f'{at}/conv3/kernel', 1, 1, width, 4 * width)
            for i, c in ((1, width), (2, width), (3, 4 * width)):
                group_norm(f'{at}/gn{i}', c)
            channels = 4 * width
    put('embedding/kernel', 1, 1, channels, dims, scale=0.1)
    put('embedding/bias', dims)
    put('cls', 1, 1, dims)
    put('Transformer/posembed_input/pos_embedding', 1, 1 + grid**2, dims)
    for n in range(layers):
        at = f'Transformer/encoderblock_{n}'
        for i in (0, 2):
            put(f'{at}/LayerNorm_{i}/scale', dims, offset=1.0)
            put(f'{at}/LayerNorm_{i}/bias', dims)
        for part in ('query', 'key', 'value'):
            put(f'{at}/MultiHeadDotProductAttention_1/{part}/kernel', dims, heads, dims // heads)
            put(f'{at}/MultiHeadDotProductAttention_1/{part}/bias', heads, dims // heads)
        put(f'{at}/MultiHeadDotProductAttention_1/out/kernel', heads, dims // heads, dims)
        put(f'{at}/MultiHeadDotProductAttention_1/out/bias', dims)
        for i, (a, b) in enumerate(((dims, hidden), (hidden, dims))):
            put(f'{at}/MlpBlock_3/Dense_{i}/kernel', a, b)
            put(f'{at}/MlpBlock_3/Dense_{i}/bias', b)
    put('Transformer/encoder_norm/scale', dims, offset=1.0)
    put('Transformer/encoder_norm/bias', dims)
    put('pre_logits/kernel', dims, dims)
    put('pre_logits/bias', dims)
    put('head/kernel', dims, 5)
    put('head/bias', 5)
    return arrays


# ---------------------------------------------------------------- the independent forward: NHWC, float64, plain numpy
def conv(x, kernel, stride):
    """Standardized convolution with TensorFlow's SAME padding, as a sum over kernel positions."""
    kernel = (kernel - kernel.mean((0, 1, 2))) / (kernel.std((0, 1, 2)) + 1e-5)
    size = kernel.shape[0]
    out = [math.ceil(n / stride) for n in x.shape[1:3]]
    pads = [max((o - 1) * stride + size - n, 0) for o, n in zip(out, x.shape[1:3])]
    x = np.pad(x, [(0, 0), *[(p // 2, p - p // 2) for p in pads], (0, 0)])
    return sum(x[:, i:i + stride * out[0]:stride, j:j + stride * out[1]:stride][:, :out[0], :out[1]] @ kernel[i, j]
               for i in range(size) for j in range(size))


def group_norm(x, scale, bias):
    b, h, w, c = x.shape
    groups = x.reshape(b, h * w, 32, c // 32)
    mean, var = groups.mean((1, 3), keepdims=True), groups.var((1, 3), keepdims=True)
    return ((groups - mean) / np.sqrt(var + 1e-6)).reshape(x.shape) * scale.reshape(-1) + bias.reshape(-1)


def max_pool(x):
    out = [math.ceil(n / 2) for n in x.shape[1:3]]
    pads = [max((o - 1) * 2 + 3 - n, 0) for o, n in zip(out, x.shape[1:3])]
    x = np.pad(x, [(0, 0), *[(p // 2, p - p // 2) for p in pads], (0, 0)], constant_values=-np.inf)
    return np.max([x[:, i:i + 2 * out[0]:2, j:j + 2 * out[1]:2][:, :out[0], :out[1]]
                   for i in range(3) for j in range(3)], axis=0)


def layer_norm(x, scale, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * scale + bias


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def unit(x, w, at, stride):
    y = x
    if f'{at}/conv_proj/kernel' in w:
        y = group_norm(conv(x, w[f'{at}/conv_proj/kernel'], stride), w[f'{at}/gn_proj/scale'], w[f'{at}/gn_proj/bias'])
    for i in (1, 2, 3):
        x = conv(x, w[f'{at}/conv{i}/kernel'], stride if i == 2 else 1)
        x = group_norm(x, w[f'{at}/gn{i}/scale'], w[f'{at}/gn{i}/bias'])
        x = np.maximum(x, 0) if i < 3 else np.maximum(x + y, 0)
    return x


def attention(x, w, at):
    q, k, v = (np.einsum('bnc,chd->bhnd', x, w[f'{at}/{p}/kernel']) + w[f'{at}/{p}/bias'][None, :, None]
               for p in ('query', 'key', 'value'))
    scores = np.einsum('bhnd,bhmd->bhnm', q, k) / math.sqrt(q.shape[-1])
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return np.einsum('bhnd,hdc->bnc', np.einsum('bhnm,bhmd->bhnd', scores, v), w[f'{at}/out/kernel']) + \
        w[f'{at}/out/bias']


def position_table(w, grid):
    """Linear interpolation between the stored points, first and last point kept."""
    table = w['Transformer/posembed_input/pos_embedding'][0]
    token, table = table[:1], table[1:]
    side = math.isqrt(len(table))
    table = table.reshape(side, side, -1)
    for axis, size in enumerate(grid):
        points = np.linspace(0, side - 1, size)
        low = np.minimum(points.astype(int), side - 2)
        part = (points - low).reshape([-1 if a == axis else 1 for a in range(3)])
        table = np.take(table, low, axis) * (1 - part) + np.take(table, low + 1, axis) * part
    return np.concatenate([token, table.reshape(grid[0] * grid[1], -1)])


def reference_forward(images, arrays):
    """Public network: maps at stride 2, 4, 8, 16 as NCHW."""
    w = {k: v.astype(np.float64) for k, v in arrays.items()}
    x = images.astype(np.float64).transpose(0, 2, 3, 1)
    x = np.maximum(group_norm(conv(x, w['conv_root/kernel'], 2), w['gn_root/scale'], w['gn_root/bias']), 0)
    levels, x = [x], max_pool(x)
    stages = 1 + max(int(k.split('/')[0][5:]) for k in w if k.startswith('block'))
    for s in range(1, stages):
        u = 1
        while f'block{s}/unit{u}/conv1/kernel' in w:
            x = unit(x, w, f'block{s}/unit{u}', 2 if s > 1 and u == 1 else 1)
            u += 1
        levels.append(x)
    x = x @ w['embedding/kernel'][0, 0] + w['embedding/bias']
    b, h, v, c = x.shape
    x = np.concatenate([np.broadcast_to(w['cls'], (b, 1, c)), x.reshape(b, h * v, c)], 1) + position_table(w, (h, v))
    n = 0
    while f'Transformer/encoderblock_{n}/LayerNorm_0/scale' in w:
        at = f'Transformer/encoderblock_{n}'
        x = x + attention(layer_norm(x, w[f'{at}/LayerNorm_0/scale'], w[f'{at}/LayerNorm_0/bias']), w,
                          f'{at}/MultiHeadDotProductAttention_1')
        y = layer_norm(x, w[f'{at}/LayerNorm_2/scale'], w[f'{at}/LayerNorm_2/bias'])
        y = gelu(y @ w[f'{at}/MlpBlock_3/Dense_0/kernel'] + w[f'{at}/MlpBlock_3/Dense_0/bias'])
        x = x + y @ w[f'{at}/MlpBlock_3/Dense_1/kernel'] + w[f'{at}/MlpBlock_3/Dense_1/bias']
        n += 1
    x = layer_norm(x, w['Transformer/encoder_norm/scale'], w['Transformer/encoder_norm/bias'])[:, 1:]
    levels[-1] = x.reshape(b, h, v, c)
    return [level.transpose(0, 3, 1, 2) for level in levels]


@pytest.fixture
def public_file(tmp_path):
    path = tmp_path / 'R50+ViT-B_16.npz'
    np.savez(path, **public_arrays())
    return path


def loaded(path, **settings):
    encoder = HybridViT(**dict(SMALL, **settings))
    encoder.load_state_dict(convert_hybrid_vit(path).state)
    return encoder.double().eval()


@pytest.mark.parametrize('size', [(64, 64), (96, 80), (75, 49)])
def test_converted_weights_reproduce_the_public_network(public_file, size):
    images = np.random.default_rng(1).uniform(-1, 1, (2, 3, *size))
    expected = reference_forward(images, public_arrays())
    with torch.no_grad():
        ours = loaded(public_file)(torch.from_numpy(images))
    assert [tuple(x.shape) for x in ours] == [x.shape for x in expected]
    assert [x.shape[1] for x in ours] == [32, 128, 256, 24]
    for a, b in zip(ours, expected):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-9)


def timm_name(name):
    """Our name of a tensor as timm has it."""
    parts = name.replace('projection.', 'downsample.').split('.')
    if parts[0] == 'stages':
        return '.'.join(['patch_embed.backbone.stages', parts[1], 'blocks', *parts[2:]])
    if parts[0] == 'stem':
        return f'patch_embed.backbone.{name}'
    if parts[0] == 'patch_embed':
        return f'patch_embed.proj.{parts[1]}'
    if parts[0] == 'layers':
        inside = dict(qkv='attn.qkv', proj='attn.proj', fc1='mlp.fc1', fc2='mlp.fc2').get(parts[2], parts[2])
        return f'blocks.{parts[1]}.{inside}.{parts[3]}'
    return name


def test_timm_layout_gives_the_same_network(tmp_path):
    """The public file renamed as timm names its tensors; timm's heads have 64 channels."""
    public, path = tmp_path / 'public.npz', tmp_path / 'timm.pth'
    np.savez(public, **public_arrays(dims=64, heads=1))
    state = convert_hybrid_vit(public).state
    others = {'head.weight': torch.zeros(5, 64), 'head.bias': torch.zeros(5)}
    torch.save({timm_name(k): v for k, v in state.items()} | others, path)
    result = convert_hybrid_vit(path)
    assert (result.layout, result.dropped, result.settings['num_heads']) == ('timm', ['head.bias', 'head.weight'], 1)
    assert set(result.state) == set(state) and all(torch.equal(result.state[k], state[k]) for k in state)
    torch.save({timm_name(k): v for k, v in state.items()} | {'patch_embed.backbone.norm.weight': torch.ones(1)}, path)
    with pytest.raises(Problem, match='no known layout'):
        convert_hybrid_vit(path)


def test_against_timm(tmp_path, monkeypatch):
    """timm's model of the same network as an oracle, where timm is installed."""
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    theirs = timm.create_model('vit_base_r50_s16_224', pretrained=False).eval()
    for name, parameter in theirs.named_parameters():
        if 'norm' in name or name in ('pos_embed', 'cls_token'):
            torch.nn.init.normal_(parameter, mean=float('weight' in name), std=0.2)
    path = tmp_path / 'vit_base_r50_s16_224.pth'
    torch.save(theirs.state_dict(), path)
    result = convert_hybrid_vit(path)
    assert not result.settings and all(k.startswith('head.') for k in result.dropped)
    ours = HybridViT(gelu='none').eval()
    monkeypatch.setattr(StandardizedConv2d, 'eps', 0.)  # timm has 1e-8 under the root, and 1e-5 in GroupNorm
    for module in ours.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.eps = 1e-5
    ours.load_state_dict(result.state)
    images = torch.rand(1, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        tokens = theirs.forward_features(images)[:, 1:].transpose(1, 2).unflatten(2, (14, 14))
        difference = (ours(images)[-1] - tokens).abs()
    assert difference.max() < 1e-4 * tokens.abs().max()


def test_report_and_refusals(public_file, tmp_path):
    lines = convert_file(public_file, tmp_path / 'out.pth')
    assert any('dropped head/bias, head/kernel, pre_logits/bias, pre_logits/kernel' in line for line in lines)
    assert any("'stem_channels': 32" in line for line in lines), 'a small file says that it is small'
    arrays = public_arrays()
    for change, message in [
            ({'surprise/kernel': np.zeros(3, np.float32)}, 'surprise'),
            ({'gn_root/bias': None}, 'stem.norm.bias'),
            ({'block2/unit1/conv2/kernel': np.zeros((3, 3, 64, 32), np.float32)}, 'stages.1.0.conv2'),
            ({'Transformer/encoderblock_1/MultiHeadDotProductAttention_1/out/bias': None}, 'layer 1'),
            ({'conv_root/kernel': None}, 'no known layout'),
            ({'embedding/kernel': None}, 'lacks a part')]:
        path = tmp_path / 'bad.npz'
        np.savez(path, **{k: v for k, v in {**arrays, **change}.items() if v is not None})
        with pytest.raises(Problem, match=message):
            convert_file(path, tmp_path / 'never.pth')
    assert not (tmp_path / 'never.pth').exists()
    (tmp_path / 'cut.npz').write_bytes(public_file.read_bytes()[:5000])  # an interrupted download
    with pytest.raises(Problem, match='cannot be read as arrays'):
        convert_hybrid_vit(tmp_path / 'cut.npz')
    with pytest.raises(Problem, match='no file'):
        convert_hybrid_vit(tmp_path / 'absent.npz')
    with pytest.raises(Problem, match='another size'):  # the table expects the real sizes
        prepare('r50_vit_b16', tmp_path, public_file)


def test_tool(public_file, tmp_path, monkeypatch, capsys):
    tool = runpy.run_path(str(ROOT / 'tools' / 'model_converters' / 'vit_hybrid2mmseg_dg.py'))
    monkeypatch.setattr(sys, 'argv', ['tool', str(public_file), str(tmp_path / 'a.pth')])
    assert tool['main']() == 0 and 'written to' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', ['tool', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')])
    assert tool['main']() == 1 and 'no known layout' in capsys.readouterr().err


def test_without_class_token_the_public_weights_load(public_file):
    """TransUNet's variant: the token and its position are left out of the attention."""
    encoder = HybridViT(**dict(SMALL, cls_token=False))
    encoder.load_state_dict(convert_hybrid_vit(public_file).state)
    assert encoder.pos_embed.shape == (1, 16, 24)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        with_token = loaded(public_file).float()(images)
        without = encoder.eval()(images)
    assert torch.equal(with_token[2], without[2]) and not torch.allclose(with_token[3], without[3])


def test_dropout_only_in_training():
    encoder = HybridViT(**SMALL)
    encoder.init_weights()
    for layer in encoder.stages.modules():
        if hasattr(layer, 'norm3'):
            assert not layer.norm3.weight.any()
    images = torch.rand(1, 3, 64, 64)
    encoder.train()
    assert not torch.equal(encoder(images)[-1], encoder(images)[-1])
    encoder.eval()
    assert torch.equal(encoder(images)[-1], encoder(images)[-1])


@pytest.mark.parametrize('change, message', [(dict(stem_channels=40), '32 groups'), (dict(num_heads=5), 'num_heads'),
                                             (dict(gelu='fast'), 'gelu')])
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        HybridViT(**dict(SMALL, **change))
