"""Conversion between official and our parameter names."""
import pytest
import torch
import torch.nn.functional as F
from recorded import load_small

from mmseg_dg.registry import MODELS
from mmseg_dg.weights.official_names import (
    from_official,
    from_official_backbone,
    official_gradients,
    split_training_checkpoint,
)


def network(head='DAFormerHead', **kwargs):
    return MODELS.build(dict(
        type='EncoderDecoder', backbone=dict(type='MixTransformer', arch='b0'),
        decode_head=dict(type=head, in_channels=(32, 64, 160, 256), channels=64, num_classes=19, **kwargs)))


def tiny_official():
    """Enough official keys for one block."""
    shapes = {
        'patch_embed1.proj.weight': (4, 3, 7, 7), 'patch_embed1.proj.bias': (4, ), 'patch_embed1.norm.weight': (4, ),
        'block1.0.norm1.weight': (4, ), 'block1.0.attn.q.weight': (4, 4), 'block1.0.attn.q.bias': (4, ),
        'block1.0.attn.kv.weight': (8, 4), 'block1.0.attn.kv.bias': (8, ), 'block1.0.attn.proj.weight': (4, 4),
        'block1.0.mlp.fc1.weight': (16, 4), 'block1.0.mlp.dwconv.dwconv.weight': (16, 1, 3, 3),
        'block1.0.mlp.fc2.bias': (4, ), 'norm1.weight': (4, ),
    }
    generator = torch.Generator().manual_seed(0)
    return {k: torch.randn(s, generator=generator) for k, s in shapes.items()}


def tiny_network(**kwargs):
    """The network of the recorded tiny DAFormer."""
    return MODELS.build(dict(
        type='EncoderDecoder',
        backbone=dict(type='MixTransformer', arch=None, embed_dims=[8, 16, 24, 32], num_layers=[1, 1, 1, 1],
                      num_heads=[1, 2, 3, 4], drop_path_rate=0.),
        decode_head=dict(type='DAFormerHead', in_channels=(8, 16, 24, 32), channels=16, embed_channels=16,
                         num_classes=19, **kwargs)))


@pytest.mark.claim('DAFormer')
def test_a_training_checkpoint_loads_strictly():
    official = load_small('daformer_tiny_init_student.pt')['state_dict']
    model = tiny_network()
    model.load_state_dict(from_official(official))  # strict
    head = official['decode_head.fuse_layer.aspp_modules.2.pointwise_conv.conv.weight']
    assert torch.equal(model.decode_head.fuse_layer.aspp_modules[2].pointwise_conv.conv.weight, head)
    attention = model.backbone.layers[1][1][0].attn.attn
    assert torch.equal(attention.in_proj_weight[:16], official['backbone.block2.0.attn.q.weight'].float())
    assert torch.equal(attention.in_proj_bias[16:], official['backbone.block2.0.attn.kv.bias'].float())
    # and back, bit by bit
    back = official_gradients(model.state_dict())
    assert back.keys() == official.keys()
    assert all(torch.equal(v, official[k]) for k, v in back.items())


@pytest.mark.claim('DAFormer')
def test_the_official_source_pass():
    step = load_small('daformer_tiny_step.pt')['steps'][0]
    model = tiny_network(dropout_ratio=0.).train()
    model.load_state_dict(from_official(load_small('daformer_tiny_init_student.pt')['state_dict']))
    assert_source_pass(model, step)


@pytest.mark.ci
def test_the_official_source_pass_at_full_size(golden):
    model = network(embed_channels=64, dropout_ratio=0.).train()
    for module in model.modules():
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.
    model.load_state_dict(from_official(golden('trainstep_daformer_init_student.pt')['state_dict']))
    assert_source_pass(model, golden('trainstep_daformer_nodrop.pt')['steps'][0])


def assert_source_pass(model, step):
    """Loss and gradient norms of the plain cross-entropy on the recorded source batch."""
    logits = model.decode_head(model.extract_feat(step['batch']['img'].float()))
    labels = step['batch']['gt_semantic_seg'].squeeze(1).long()
    pixels = F.cross_entropy(F.interpolate(logits, labels.shape[1:], mode='bilinear'), labels, ignore_index=255,
                             reduction='none')
    pixels.mean().backward()
    assert pixels.mean().item() == pytest.approx(step['log_vars']['decode.loss_seg'], rel=1e-6)
    ours = official_gradients((n, p.grad) for n, p in model.named_parameters())
    recorded = step['grad_norms_after'][0]
    assert {k: g.norm().item() for k, g in ours.items()} == pytest.approx(recorded, rel=1e-3)


def test_other_names_and_shapes_of_a_bare_backbone():
    official = tiny_official()
    ours = from_official_backbone(dict(official, **{'head.weight': torch.ones(2, 4), 'head.bias': torch.ones(2)}))
    assert set(ours) == {
        'layers.0.0.projection.weight', 'layers.0.0.projection.bias', 'layers.0.0.norm.weight',
        'layers.0.1.0.norm1.weight', 'layers.0.1.0.attn.attn.in_proj_weight', 'layers.0.1.0.attn.attn.in_proj_bias',
        'layers.0.1.0.attn.attn.out_proj.weight', 'layers.0.1.0.ffn.layers.0.weight',
        'layers.0.1.0.ffn.layers.1.weight', 'layers.0.1.0.ffn.layers.4.bias', 'layers.0.2.weight'}
    assert ours['layers.0.1.0.ffn.layers.0.weight'].shape == (16, 4, 1, 1)
    assert torch.equal(ours['layers.0.1.0.attn.attn.in_proj_weight'],
                       torch.cat([official['block1.0.attn.q.weight'], official['block1.0.attn.kv.weight']]))
    assert from_official_backbone(ours).keys() == ours.keys()  # ours already: unchanged


def test_unexpected_keys_are_listed():
    official = tiny_official()
    with pytest.raises(ValueError, match='block1.0.attn.rel_pos, pos_embed1'):
        from_official_backbone(dict(official, **{'pos_embed1': torch.ones(1), 'block1.0.attn.rel_pos': torch.ones(1)}))
    del official['block1.0.attn.kv.bias']
    with pytest.raises(ValueError, match='counterpart: block1.0.attn.q.bias'):
        from_official_backbone(official)
    with pytest.raises(ValueError, match='no part of a network: model.backbone.norm1.weight'):
        from_official({'model.backbone.norm1.weight': torch.ones(1)})
    with pytest.raises(ValueError, match='and 5 more'):
        from_official({f'junk{i}': torch.ones(1) for i in range(25)})


def test_resnet_and_hrda_keys_stay():
    state = {k: torch.ones(1) for k in (
        'backbone.stem.0.weight', 'backbone.layer4.2.bn3.running_var', 'decode_head.head.conv_seg.bias',
        'decode_head.scale_attention.fuse_layer.conv.weight', 'auxiliary_head.conv_seg.weight')}
    assert from_official(state) == state
    assert official_gradients(state) == state


def test_segformer_classifier():
    model = network('SegFormerPaperHead')
    official = official_gradients(model.state_dict())
    assert torch.equal(official['decode_head.linear_pred.weight'], model.decode_head.conv_seg.weight)
    assert 'decode_head.conv_seg.weight' not in official
    official['decode_head.conv_seg.weight'] = torch.ones(19, 128, 1, 1)  # the unused one
    official['decode_head.conv_seg.bias'] = torch.ones(19)
    model.load_state_dict(from_official(official))


def test_gradients_of_a_nested_network_without_missing_ones():
    model = network(embed_channels=64)
    (model.backbone.layers[0][1][0].attn.attn.in_proj_weight.pow(2).sum() * 0.5).backward()
    gradients = official_gradients((f'student.{n}', p.grad) for n, p in model.named_parameters())
    assert set(gradients) == {'student.backbone.block1.0.attn.q.weight', 'student.backbone.block1.0.attn.kv.weight'}
    packed = model.backbone.layers[0][1][0].attn.attn.in_proj_weight
    assert gradients['student.backbone.block1.0.attn.kv.weight'].norm() == packed[32:].norm()


@pytest.mark.parametrize('outer,inner', [('', ''), ('module.', ''), ('', 'module.')])
def test_split(outer, inner):
    state = {f'{outer}{role}{inner}backbone.norm1.weight': torch.full((1, ), float(i))
             for i, role in enumerate(('model.', 'ema_model.', 'imnet_model.'))}
    parts = split_training_checkpoint(state)
    assert {k: v['backbone.norm1.weight'].item() for k, v in parts.items()} == dict(student=0, teacher=1, imnet=2)


def test_split_of_other_files():
    assert set(split_training_checkpoint({'model.decode_head.conv_seg.bias': torch.ones(1)})) == {'student'}
    with pytest.raises(ValueError, match='unexpected keys discriminator.0.weight'):
        split_training_checkpoint({'model.a': torch.ones(1), 'discriminator.0.weight': torch.ones(1)})
    with pytest.raises(ValueError, match='no key starts with'):
        split_training_checkpoint({'ema_model.a': torch.ones(1)})
