"""What of an encoder is trained, low-rank adapters, and their merging."""
import copy
import ctypes
import gc
import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.models.backbones import HybridViT, MixTransformer, MobileNetV2, PlainViT, ResNet, TinyViT
from mmseg_dg.models.backbones.adapters import LoRALinear
from mmseg_dg.models.norm_statistics import collecting, norm_layers
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.segmentor_export import merge_adapters

TINY = dict(embed_dims=32, num_layers=4, num_heads=4)
SMALL_TINY = dict(channels=(16, 32, 32, 64), heads=(1, 2, 2, 4), depths=(1, 1, 1, 1))
ENCODERS = {
    'PlainViT': lambda **kw: PlainViT(TINY, pos_grid=5, resize='multiple', **kw),
    'TinyViT': lambda **kw: TinyViT(SMALL_TINY, **kw),
    'MixTransformer': lambda **kw: MixTransformer(None, embed_dims=[8, 8, 8, 8], num_layers=[1] * 4, num_heads=[1] * 4,
                                                  **kw),
    'HybridViT': lambda **kw: HybridViT(stem_channels=32, stages=(1, 1, 1), embed_dims=32, num_layers=1, num_heads=2,
                                        feedforward_channels=32, **kw),
    'MobileNetV2': lambda **kw: MobileNetV2(widen_factor=0.25, **kw),
    'ResNet': lambda **kw: ResNet(18, base_channels=8, **kw),
}


def vit(seed=0, **kwargs):
    torch.manual_seed(seed)
    network = PlainViT(TINY, pos_grid=5, layer_scale=1., **kwargs)
    network.init_weights()
    return network.double()


# ---------------------------------------------------------------- frozen
@pytest.mark.parametrize('name', ENCODERS)
def test_a_frozen_encoder_has_no_graph_and_no_gradient(name):
    encoder = ENCODERS[name](trainable='none')
    encoder.init_weights()
    encoder.train()
    before = copy.deepcopy(encoder.state_dict())
    maps = encoder(torch.randn(2, 3, 64, 64))
    assert not any(m.requires_grad for m in maps) and not any(m.training for m in encoder.modules())
    head = nn.Conv2d(maps[-1].shape[1], 2, 1)
    head(maps[-1]).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert encoder.frozen_names() == set(encoder.state_dict())
    trained = ENCODERS[name]().train()
    assert any(m.requires_grad for m in trained(torch.randn(2, 3, 64, 64))) and not trained.frozen_names()


@pytest.mark.parametrize('mode', [True, False])
@pytest.mark.parametrize('name', ['TinyViT', 'MobileNetV2'])
def test_a_frozen_encoder_brings_layers_back_that_were_put_into_training_mode(name, mode):
    """As an estimation of BatchNorm statistics leaves them."""
    encoder = ENCODERS[name](trainable='none')
    layers = norm_layers(encoder)
    with collecting(layers[:2]):
        encoder(torch.randn(2, 3, 64, 64))
    assert layers[0].training and not encoder.training
    encoder.train(mode)
    assert not any(m.training for m in encoder.modules())


@pytest.mark.parametrize('name', ['MixTransformer', 'MobileNetV2', 'ResNet'])
def test_adapters_need_attention(name):
    with pytest.raises(ValueError, match=f'lora: {name} has no attention layers'):
        ENCODERS[name](trainable='adapters', lora=dict(rank=2))


@pytest.mark.parametrize('kwargs, message', [
    (dict(trainable='some'), "PlainViT: trainable='some': use one of"),
    (dict(trainable='adapters'), r"trainable='adapters' with lora=None.*lora=dict\(rank=16\)"),
    (dict(lora=dict(rank=2)), "trainable='all' with lora="),
    (dict(trainable='adapters', lora=dict(rank=33)), 'lora.rank=33 is larger than the layer blocks.0.attn.qkv of '
     'PlainViT allows: its matrix has 32 x 32 entries, a rank of at most 32'),
    (dict(trainable='adapters', lora=dict(rank=0)), 'rank=0'),
    (dict(trainable='adapters', lora=dict(start='random')), "lora.start='random'"),
    (dict(trainable='adapters', lora=dict(layers=['qk'])), "lora.layers=.'qk',"),
    (dict(trainable='adapters', lora=dict(first_block=4)), 'lora.first_block=4: PlainViT has 4 attention blocks'),
    (dict(extra_channels='copy'), "extra_channels='copy'"),
])
def test_refused_options(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PlainViT(TINY, pos_grid=5, **kwargs)


def peak_memory(function):
    """Largest resident memory while ``function`` runs, above that before it, in MiB (Linux)."""
    status = Path('/proc/self/status')
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what glibc keeps of earlier steps would count as there before
    Path('/proc/self/clear_refs').write_text('5')
    before = int(re.search(r'VmRSS:\s+(\d+)', status.read_text()).group(1))
    function()
    return (int(re.search(r'VmHWM:\s+(\d+)', status.read_text()).group(1)) - before) / 1024


@pytest.mark.ci
@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='needs Linux')
def test_memory_of_a_frozen_small_dinov2_at_518():
    """Everything a step needs, the network included: one image, S, forward and backward of a linear head."""

    def step(trainable):
        encoder = PlainViT('small', trainable=trainable).train()
        head = nn.Conv2d(384, 7, 1)
        head(encoder(torch.zeros(1, 3, 518, 518))[-1]).square().mean().backward()

    step('none')  # what torch allocates once
    frozen, whole = peak_memory(lambda: step('none')), peak_memory(lambda: step('all'))
    assert frozen < 0.4 * whole, f'{frozen:.0f} MiB frozen, {whole:.0f} MiB trained'


# ---------------------------------------------------------------- adapters
@pytest.mark.parametrize('start', ['zeros', 'minor'])
def test_adapters_start_as_the_network_and_merge(start):
    base = vit()
    lora = dict(rank=4, alpha=8, start=start, first_block=1)
    adapted = vit(trainable='adapters', lora=lora)
    adapted.load_state_dict(base.state_dict())  # a weight file: it knows no adapters
    adapted.train()
    x = torch.randn(1, 3, 70, 70, dtype=torch.float64)
    assert torch.equal(adapted(x)[-1], base(x)[-1])
    layers = [m for m in adapted.modules() if isinstance(m, LoRALinear)]
    assert len(layers) == 3 * 4 and not isinstance(adapted.blocks[0].attn.qkv, LoRALinear)

    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.)
    wanted = torch.randn_like(base(x)[-1])
    for _ in range(2):
        optimizer.zero_grad()
        (adapted(x)[-1] * wanted).mean().backward()
        optimizer.step()
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained == {f'blocks.{i}.{layer}.{part}' for i in (1, 2, 3)
                       for layer in ('attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
                       for part in ('lora_a', 'lora_b', 'bias')}
    for name, parameter in adapted.named_parameters():
        assert (parameter.grad is not None and parameter.grad.abs().sum() > 0) == (name in trained), name
    assert torch.equal(adapted.blocks[2].mlp.fc1.weight, base.blocks[2].mlp.fc1.weight)

    learned = adapted(x)[-1].detach()
    assert (learned - base(x)[-1]).abs().max() > 1e-3
    resumed = vit(seed=5, trainable='adapters', lora=lora)
    resumed.load_state_dict(adapted.state_dict())
    assert torch.equal(resumed(x)[-1], learned)
    assert merge_adapters(adapted) == 12 and not any('lora' in key for key in adapted.state_dict())
    plain = vit(seed=7)
    plain.load_state_dict(adapted.state_dict())
    assert (plain(x)[-1] - learned).abs().max() < 1e-10


def test_minor_adapters_are_the_last_singular_directions():
    network = vit(trainable='adapters', lora=dict(rank=3, start='minor'))
    layer = network.blocks[0].attn.qkv
    query = layer.weight[:32]
    u, sigma, v = torch.linalg.svd(query)
    assert torch.allclose(layer.lora_b[0] @ layer.lora_a[0], (u[:, -3:] * sigma[-3:]) @ v[-3:], atol=1e-6)
    values = torch.linalg.svdvals(query - layer.lora_b[0] @ layer.lora_a[0])
    assert torch.allclose(values[:-3], sigma[:-3], atol=1e-6) and values[-3:].max() < 1e-5


def test_adapters_of_other_encoders_learn():
    for encoder in (ENCODERS['TinyViT'](trainable='adapters', lora=dict(rank=2)),
                    ENCODERS['HybridViT'](trainable='adapters', lora=dict(rank=2))):
        encoder.init_weights()
        encoder.train()
        statistics = copy.deepcopy(dict(encoder.named_buffers()))
        encoder(torch.randn(2, 3, 64, 64))[-1].sum().backward()
        layers = [m for m in encoder.modules() if isinstance(m, LoRALinear)]
        assert layers and all(layer.lora_b.grad.abs().sum() > 0 for layer in layers)
        assert all(torch.equal(value, statistics[name]) for name, value in encoder.named_buffers())


def test_a_teacher_keeps_what_is_frozen():
    student = vit(trainable='adapters', lora=dict(rank=2)).float()
    teacher = EMATeacher(student, beta=0.999, ramp=False)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += parameter.requires_grad * torch.rand_like(parameter)
    for _ in range(3):
        teacher.update_parameters(student)
    ours, theirs = student.state_dict(), teacher.module.state_dict()
    for name in student.frozen_names():
        assert torch.equal(ours[name], theirs[name])
    key = 'blocks.0.attn.qkv.lora_b'
    assert 0 < (theirs[key] / ours[key]).mean() < 0.01


# ---------------------------------------------------------------- mmseg's encoders
def test_stock_encoders_keep_their_names():
    init_default_scope('mmseg_dg')
    from mmseg.models.backbones import MobileNetV2 as Stock
    ours = MODELS.build(dict(type='MobileNetV2', widen_factor=0.25, trainable='none'))
    assert isinstance(ours, Stock) and type(MODELS.build(dict(type='mmseg.MobileNetV2'))) is Stock
    assert ours.state_dict().keys() == Stock(widen_factor=0.25).state_dict().keys()


@pytest.mark.parametrize('name', ENCODERS)
def test_four_channels_from_a_file_of_three(name, tmp_path):
    torch.manual_seed(0)
    rgb = ENCODERS[name]()
    rgb.init_weights()
    torch.save(rgb.state_dict(), tmp_path / 'rgb.pth')
    encoder = ENCODERS[name](in_channels=4, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth')))
    encoder.init_weights()
    x = torch.randn(1, 4, 64, 64)
    rgb.eval(), encoder.eval()
    if name == 'HybridViT':  # its filters are standardized: no filter can be left out of them
        assert encoder(x)[-1].shape == rgb(x[:, :3])[-1].shape
        return
    assert torch.allclose(encoder(x)[-1], rgb(x[:, :3])[-1], atol=1e-5)
