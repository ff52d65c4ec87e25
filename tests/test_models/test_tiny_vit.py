"""TinyViT beside mmpretrain's network on its own geometry, its sizes, its BatchNorm, and its weight file."""
import pytest
import torch
from torch import nn

from mmseg_dg.models.backbones import TinyViT

TINY = dict(channels=(16, 32, 32, 64), heads=(1, 2, 2, 4), depths=(1, 1, 1, 1))


def randomize(module):
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 2., generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.2 if tensor.dim() == 1 else 0.1, generator=generator)
    return module


def theirs_of(ours):
    """mmpretrain's network with the tensors of ours, and the list its stages' last blocks write to."""
    from mmpretrain.models import TinyViT as Theirs

    import mmseg_dg.mmpretrain  # noqa: F401
    network = Theirs(arch=dict(channels=TINY['channels'], num_heads=TINY['heads'], depths=TINY['depths']),
                     img_size=(96, 96), out_indices=[3], drop_path_rate=0.).double()
    state = {key.replace('layers.', 'stages.', 1).replace('.c.', '.conv2d.').replace('.bn.', '.bn2d.'): value
             for key, value in ours.state_dict().items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert missing == ['norm3.weight', 'norm3.bias'] and not unexpected
    network.eval()
    seen = []
    for stage in network.stages:
        stage.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    for module in network.modules():
        if hasattr(module, 'ab'):  # computed in its train(), before the tensors were copied
            module.ab = module.attention_biases[:, module.attention_bias_idxs]
    return network, seen


def test_maps_of_mmpretrain():
    pytest.importorskip('mmpretrain')
    ours = randomize(TinyViT(TINY, last_stride=2).double()).eval()
    network, seen = theirs_of(ours)
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        network(x)
        maps = ours(x)
    assert len(seen) == 4
    for ours_map, their_map in zip(maps, seen):
        if their_map.dim() == 3:  # (B, H * W, C)
            their_map = their_map.transpose(1, 2).reshape(ours_map.shape)
        assert (ours_map - their_map).abs().max() < 1e-9 * their_map.abs().max()


def test_any_size_and_the_strides_of_mobile_sam():
    network = TinyViT(TINY).eval()
    maps = network(torch.randn(1, 3, 61, 47))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 16, 12), (32, 8, 6), (32, 4, 3), (64, 4, 3)]
    assert network.strides == (4, 8, 16, 16) and network.out_channels == TINY['channels']
    assert TinyViT(TINY, last_stride=2, out_indices=(1, 3)).strides == (8, 32)


def test_norm_eval_keeps_27_layers_on_their_statistics():
    network = TinyViT(norm_eval=True).train()
    layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(layers) == 27 and not any(m.training for m in layers) and network.training
    assert all(m.training for m in TinyViT(TINY).train().modules() if isinstance(m, nn.BatchNorm2d))


def test_recomputed_blocks_have_the_same_gradients():
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    gradients = []
    for with_cp in (False, True):
        network = randomize(TinyViT(TINY, with_cp=with_cp, norm_eval=True).double()).train()
        network(x)[-1].square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-10) for a, b in zip(*gradients))


def test_depths_of_layer_decay():
    network = TinyViT()
    names = ['patch_embed.seq.0.c.weight', 'layers.0.blocks.0.conv1.c.weight', 'layers.0.downsample.conv1.c.weight',
             'layers.1.blocks.0.attn.qkv.weight', 'layers.3.blocks.1.mlp.fc2.bias']
    assert [network.layer_depth(name) for name in names] == [12, 11, 10, 9, 0]


def test_refused_values(tmp_path):
    with pytest.raises(ValueError, match="arch='6m': use one of 5m, 11m, 21m"):
        TinyViT('6m')
    with pytest.raises(ValueError, match='last_stride=3'):
        TinyViT(TINY, last_stride=3)
    state = {f'image_encoder.{key}': value for key, value in TinyViT(TINY).state_dict().items()}
    torch.save(state, tmp_path / 'mobile_sam.pt')
    with pytest.raises(ValueError, match='mobile_sam.pt does not fit.*image_encoder.*prepare_weights'):
        TinyViT(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'mobile_sam.pt'))).init_weights()


def test_the_shared_file_fills_every_tensor(shared):
    network = TinyViT(init_cfg=dict(type='Pretrained', checkpoint=str(shared / 'weights' / 'tinyvit_5m_sam.pth')))
    network.init_weights()
    stored = torch.load(shared / 'weights' / 'tinyvit_5m_sam.pth', weights_only=True)
    assert all(torch.equal(value, stored[key]) for key, value in network.state_dict().items())
