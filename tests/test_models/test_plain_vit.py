"""PlainViT beside mmpretrain's and timm's networks on copied weights, its sizes, masks, patches and weight files."""
import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.models.backbones import PlainViT
from mmseg_dg.models.backbones.token_sizes import (
    _free_size,
    interpolate_positions,
    resample_kernel,
    target_size,
)
from mmseg_dg.weights.vit_names import layout_of, to_dinov2

TINY = dict(embed_dims=32, num_layers=4, num_heads=4)
ALL = (0, 1, 2, 3)


def randomize(module):
    """Random values everywhere: with the starts of a network many differences would not show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                scale = 0.2 if tensor.dim() == 1 else 0.05
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
    return module


def images(*size, seed=1):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vit(**kwargs):
    return randomize(PlainViT(**{'arch': TINY, 'pos_grid': 5, 'out_indices': ALL, **kwargs})).eval()


# ---------------------------------------------------------------- other implementations
@pytest.mark.parametrize('ffn', ['mlp', 'swiglu'])
def test_maps_of_mmpretrain(ffn):
    pytest.importorskip('mmpretrain')
    from mmpretrain.models import VisionTransformer

    import mmseg_dg.mmpretrain  # noqa: F401
    theirs = randomize(VisionTransformer(
        arch=dict(embed_dims=32, num_layers=4, num_heads=4, feedforward_channels=128), img_size=70, patch_size=14,
        out_indices=list(ALL), out_type='featmap', layer_scale_init_value=1e-5,
        layer_cfgs=dict(ffn_type='swiglu_fused') if ffn == 'swiglu' else {})).double()
    theirs.eval()
    ours = PlainViT(arch=dict(TINY, ffn=ffn), pos_grid=5, out_indices=ALL, pos_offset=0.).double().eval()
    ours.load_state_dict(to_dinov2(theirs.state_dict()))
    for size in ((70, 70), (56, 98)):  # of the stored positions, and another
        x = images(2, 3, *size)
        with torch.no_grad():
            expected, normed = theirs(x), ours(x)
            ours.final_norm = False
            plain = ours(x)
            ours.final_norm = True
        for a, b in zip(plain[:3], expected[:3]):  # mmpretrain norms the last map only
            assert a.shape == b.shape and (a - b).abs().max() < 1e-10
        assert (normed[3] - expected[3]).abs().max() < 1e-10
        norm = F.layer_norm(plain[0].permute(0, 2, 3, 1), (32, ), theirs.ln1.weight, theirs.ln1.bias, 1e-6)
        assert (normed[0] - norm.permute(0, 3, 1, 2)).abs().max() < 1e-10


@pytest.mark.parametrize('registers', [0, 4])
def test_maps_of_timm(registers):
    if importlib.util.find_spec('timm') is None:
        pytest.skip('timm is an optional dependency')
    from timm.models.vision_transformer import VisionTransformer
    theirs = randomize(VisionTransformer(
        img_size=70, patch_size=14, embed_dim=32, depth=4, num_heads=4, init_values=1e-5, reg_tokens=registers,
        no_embed_class=registers > 0, num_classes=0, global_pool='')).double().eval()
    ours = PlainViT(arch=TINY, pos_grid=5, registers=registers, out_indices=ALL).double().eval()
    ours.load_state_dict(to_dinov2(theirs.state_dict()))
    x = images(2, 3, 70, 70)
    with torch.no_grad():
        expected = theirs.forward_intermediates(x, indices=list(ALL), norm=True, intermediates_only=True)
        for a, b in zip(ours(x), expected):
            assert (a - b).abs().max() < 1e-10


@pytest.mark.parametrize('arch, millions', [('small', 22.056), ('base', 86.58), ('large', 304.), ('giant', 1136.)])
def test_published_sizes(arch, millions):
    with torch.device('meta'):
        network = PlainViT(arch)
    # mmpretrain's model index of DINOv2 has these counts
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)
    assert len(network.out_channels) == len(network.strides) == 4 and network.strides[0] == 14


# ---------------------------------------------------------------- positions
def keys_kernel(distance):
    """Bicubic kernel with a = -0.75, PyTorch's."""
    d = abs(distance)
    if d <= 1:
        return 1.25 * d**3 - 2.25 * d**2 + 1
    return -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3 if d < 2 else 0.


def row_weights(n, side, offset):
    """(n, side): how much every stored row counts for every new one when the factor is (n + offset) / side."""
    matrix = np.zeros((n, side))
    for i in range(n):
        place = (i + 0.5) * side / (n + offset) - 0.5
        first = int(np.floor(place))
        for j in range(first - 1, first + 3):
            matrix[i, min(max(j, 0), side - 1)] += keys_kernel(place - j)
    return matrix


@pytest.mark.parametrize('grid', [(28, 28), (37, 40), (40, 28)])
def test_positions_with_the_reference_offset(grid):
    stored = images(1, 37 * 37, 2).float()
    maps = stored[0].numpy().astype(float).reshape(37, 37, 2)
    for offset in (0.1, 0.):
        rows, columns = row_weights(grid[0], 37, offset), row_weights(grid[1], 37, offset)
        expected = np.einsum('ij,kl,jlc->ikc', rows, columns, maps).reshape(-1, 2)
        found = interpolate_positions(stored, grid, offset)[0].numpy()
        assert np.abs(found - expected).max() < 1e-4
    assert torch.equal(interpolate_positions(stored, (37, 37)), stored)
    assert (interpolate_positions(stored, grid, 0.1) - interpolate_positions(stored, grid, 0.)).abs().max() > 1e-4


# ---------------------------------------------------------------- sizes
@pytest.mark.parametrize('size, resize, expected', [
    ((518, 1022), None, (518, 1022)), ((512, 520), 'multiple', (518, 518)), ((7, 6), 'multiple', (14, 14)),
    ((1024, 1024), 'scale', (1120, 1120)), ((512, 256), 'scale', (560, 280))])
def test_size_policies(size, resize, expected):
    assert target_size(size, 14, resize, 1.1, 'x') == expected


@pytest.mark.parametrize('side, factor, expected', [(180, 0.7, 126), (840, 1.15, 966), (1024, 1.1, 1120)])
def test_scaled_sides_are_those_of_an_exported_graph(side, factor, expected):
    """The floor of whole numbers: as floats, 0.7 * 180 is less than 126, which is nine patches."""
    assert target_size((side, side), 14, 'scale', factor, 'x') == (expected, expected)
    assert _free_size((side, side), 14, 'scale', factor) == (expected, expected)


def test_the_side_of_the_stored_positions_is_named(tmp_path):
    torch.save(vit(pos_grid=2).state_dict(), tmp_path / 'two.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'two.pth'))
    with pytest.raises(ValueError, match='another side: set pos_grid=2 of the encoder'):
        vit(pos_grid=3, init_cfg=init).init_weights()
    with pytest.raises(ValueError, match='another size of this encoder'):
        PlainViT(dict(TINY, embed_dims=16), pos_grid=2, init_cfg=init).init_weights()


def test_forbidden_sizes_are_named():
    network = vit()
    with pytest.raises(ValueError, match=r'image of 71x64 \(width x height\).*patches of 14 pixels.*70x56.*multiple'):
        network(torch.zeros(1, 3, 64, 71))
    with pytest.raises(ValueError, match='smaller than a patch of 14'):
        vit(resize='scale')(torch.zeros(1, 3, 8, 71))
    with pytest.raises(ValueError, match="resize='pad'"):
        PlainViT(TINY, resize='pad')


def test_resized_images_give_the_maps_of_the_policy():
    network = vit(resize='multiple').double()
    x = images(1, 3, 64, 75)
    direct = F.interpolate(x, (70, 70), mode='bilinear', align_corners=True)
    assert network(x)[0].shape == (1, 32, 5, 5) and network.token_grid(64, 75) == (5, 5)
    assert torch.equal(network(x)[-1], network(direct)[-1])
    scaled = vit(resize='scale').double()
    direct = F.interpolate(x, (70, 70), mode='bilinear', align_corners=False)  # 64 * 1.1 = 70.4, 75 * 1.1 = 82.5
    assert torch.equal(scaled(x)[-1], scaled(F.interpolate(direct, (64, 64)))[-1]) is False
    assert scaled(x)[0].shape == (1, 32, 5, 5)


# ---------------------------------------------------------------- masks, blocks, memory
def test_masked_patches_are_the_mask_token():
    network = vit().double()
    x = images(2, 3, 70, 56)
    mask = torch.zeros(2, 5, 4, dtype=torch.bool)
    assert torch.equal(network(x, mask=mask)[-1], network(x)[-1])
    mask[0] = True  # nothing of the first image is left
    other = torch.cat([images(1, 3, 70, 56, seed=9), x[1:]])
    assert torch.equal(network(x, mask=mask)[-1], network(other, mask=mask)[-1])
    assert not torch.equal(network(x, mask=mask)[-1][0], network(x)[-1][0])
    network(x, mask=mask)[-1].sum().backward()
    assert network.mask_token.grad.abs().sum() > 0
    with pytest.raises(ValueError, match=r'mask of shape \(2, 4, 5\), expected \(2, 5, 4\)'):
        network(x, mask=mask.transpose(1, 2))


def test_blocks_are_given_in_the_order_asked_for():
    x = torch.randn(1, 3, 70, 70)
    maps, network = vit()(x), vit(out_indices=(-1, 0))
    assert torch.equal(network(x)[0], maps[3]) and torch.equal(network(x)[1], maps[0])
    assert network.out_channels == (32, 32)
    with pytest.raises(ValueError, match=r'out_indices=\(4,\) must name blocks 0..3'):
        vit(out_indices=(4, ))


def test_recomputed_blocks_have_the_same_gradients():
    x = images(1, 3, 28, 28)
    gradients = []
    for with_cp in (False, True):
        network = vit(with_cp=with_cp).double().train()
        network(x)[-1].square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients):
        assert (a is None) == (b is None) and (a is None or torch.allclose(a, b, rtol=1e-12))


def test_depths_of_layer_decay():
    network = vit()
    assert [network.layer_depth(f'blocks.{i}.attn.qkv.weight') for i in ALL] == [3, 2, 1, 0]
    assert {network.layer_depth(name) for name in ('pos_embed', 'norm.weight', 'patch_embed.proj.bias')} == {4}


# ---------------------------------------------------------------- patches and files
def test_resampled_kernels():
    kernel, patch = images(3, 2, 14, 14), images(1, 2, 14, 14)
    larger = F.interpolate(patch, (16, 16), mode='bicubic', antialias=True, align_corners=False)
    response = (kernel * patch).sum((1, 2, 3))
    found = (resample_kernel(kernel, 16, 'pi') * larger).sum((1, 2, 3))  # enlarging loses nothing: the same response
    assert torch.allclose(found, response, rtol=1e-8)
    assert resample_kernel(kernel, 16, 'bicubic').shape == (3, 2, 16, 16)


def write(path, **kwargs):
    torch.save(vit(**kwargs).state_dict(), path)
    return dict(type='Pretrained', checkpoint=str(path))


def test_files_of_other_patch_sizes(tmp_path):
    init = write(tmp_path / 'p14.pth')
    with pytest.raises(ValueError, match='p14.pth does not fit.*patches of 14 pixels, PlainViT '
                       "patch_size=16.*'bicubic'"):
        vit(patch_size=16, init_cfg=init).init_weights()
    network = vit(patch_size=16, patch_resample='bicubic', init_cfg=init)
    network.init_weights()
    assert network(torch.zeros(1, 3, 64, 64))[0].shape == (1, 32, 4, 4)
    assert torch.equal(network.blocks[1].mlp.fc1.weight, vit().blocks[1].mlp.fc1.weight)


def test_files_of_other_layouts_and_sizes(tmp_path):
    state = vit().state_dict()
    torch.save({key.replace('blocks.', 'encoder.layer.').replace('patch_embed', 'embeddings').replace('pos_', 'p'):
                value for key, value in state.items()}, tmp_path / 'hf.pth')
    with pytest.raises(ValueError, match='hf.pth does not fit.*layout transformers.*prepare_weights'):
        vit(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'hf.pth'))).init_weights()
    init = write(tmp_path / 'other.pth', arch=dict(embed_dims=16, num_layers=4, num_heads=4))
    with pytest.raises(ValueError, match=r'other.pth does not fit this PlainViT: .*cls_token \(1, 1, 16\) '
                       r'instead of \(1, 1, 32\)'):
        vit(init_cfg=init).init_weights()
    init = write(tmp_path / 'registers.pth', registers=4)
    with pytest.raises(ValueError, match=r"registers.pth.*has 1 that the network has not, \['register_tokens'\]"):
        vit(init_cfg=init).init_weights()
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        vit(init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth')).init_weights()
    with pytest.raises(ValueError, match="arch='huge'"):
        PlainViT('huge')


def test_layouts_are_told_apart():
    ours = vit(registers=4).state_dict()
    assert layout_of(ours) == 'dinov2' and to_dinov2(ours).keys() == ours.keys()
    timm = {('reg_token' if key == 'register_tokens' else key): value for key, value in ours.items()
            if key != 'mask_token'}
    timm['pos_embed'] = ours['pos_embed'][:, 1:]
    assert layout_of(timm) == 'timm'
    back = to_dinov2(timm)
    assert torch.equal(back['pos_embed'][:, 1:], ours['pos_embed'][:, 1:]) and not back['mask_token'].any()
    with pytest.raises(ValueError, match='layout unknown'):
        to_dinov2({'conv1.weight': torch.zeros(1)})


@pytest.mark.parametrize('how', ['zeros', 'mean'])
def test_more_channels(tmp_path, how):
    init = write(tmp_path / 'rgb.pth')
    network = vit(in_channels=5, extra_channels=how, init_cfg=init)
    network.init_weights()
    x = torch.randn(1, 5, 28, 28)
    if how == 'zeros':
        assert torch.allclose(network(x)[-1], vit()(x[:, :3])[-1], atol=1e-5)
    else:
        five, three = (x[:, :1].expand(-1, count, -1, -1) for count in (5, 3))  # gray
        assert torch.allclose(network(five)[-1], vit()(three)[-1], atol=1e-5)
    with pytest.raises(ValueError, match='in_channels=2, but the filters of the file read 3'):
        vit(in_channels=2, init_cfg=init).init_weights()


def test_a_block_may_be_asked_for_twice():
    x = torch.randn(1, 3, 28, 28)
    torch.manual_seed(0)
    maps = vit(out_indices=(2, 0, 2))(x)
    assert len(maps) == 3 and torch.equal(maps[0], maps[2]) and not torch.equal(maps[0], maps[1])
