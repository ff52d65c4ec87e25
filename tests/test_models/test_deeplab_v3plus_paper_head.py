"""The network of DeFT against torchvision and a plain composition of torch functions."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from mmseg_dg.models.decode_heads import DeFTDeepLabV3PlusHead
from mmseg_dg.registry import MODELS

CONFIG = 'configs/_base_/models/deft_r50.py'


@pytest.fixture(scope='module')
def cfg(request):
    return Config.fromfile(request.config.rootpath / CONFIG).model.network


def batch_norm(state, name, x):
    return F.batch_norm(x, *(state[f'{name}.{k}'] for k in ('running_mean', 'running_var', 'weight', 'bias')))


def bottleneck(state, name, x, stride=1, dilation=1):
    """torchvision's bottleneck (stride in the 3x3 convolution), written out."""
    y = F.relu(batch_norm(state, f'{name}.bn1', F.conv2d(x, state[f'{name}.conv1.weight'])))
    y = F.conv2d(y, state[f'{name}.conv2.weight'], stride=stride, padding=dilation, dilation=dilation)
    y = batch_norm(state, f'{name}.bn3', F.conv2d(F.relu(batch_norm(state, f'{name}.bn2', y)),
                                                  state[f'{name}.conv3.weight']))
    if f'{name}.downsample.0.weight' in state:
        x = batch_norm(state, f'{name}.downsample.1', F.conv2d(x, state[f'{name}.downsample.0.weight'], stride=stride))
    return F.relu(x + y)


def test_encoder_is_torchvisions_at_output_stride_16(cfg):
    """7x7 stem; stride 1 and dilation 2 in every block of layer4 (docs/behavior/deft.md#network)."""
    torch.manual_seed(0)
    ours = MODELS.build(dict(cfg.backbone, init_cfg=None))
    ours.eval()
    state = ours.state_dict()
    for name, value in state.items():
        if name.endswith('running_mean'):
            value.normal_(std=0.1)
        elif name.endswith('running_var'):
            value.uniform_(0.5, 2)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        low, _, _, deep = ours(image)
        x = F.relu(batch_norm(state, 'bn1', F.conv2d(image, state['conv1.weight'], stride=2, padding=3)))
        x, maps = F.max_pool2d(x, 3, 2, 1), []
        for layer, blocks, stride, dilation in ((1, 3, 1, 1), (2, 4, 2, 1), (3, 6, 2, 1), (4, 3, 1, 2)):
            for block in range(blocks):
                x = bottleneck(state, f'layer{layer}.{block}', x, stride if block == 0 else 1, dilation)
            maps.append(x)
    assert low.shape == (1, 256, 16, 24) and deep.shape == (1, 2048, 4, 6)
    torch.testing.assert_close(low, maps[0])
    torch.testing.assert_close(deep, maps[3])


def test_other_depth_inherits_everything(request):
    network = Config.fromfile(request.config.rootpath / 'configs/_base_/models/deft_r101.py').model.network
    assert network.backbone.depth == 101 and network.backbone.init_cfg.checkpoint.endswith('resnet101.pth')
    assert network.backbone.dilations == (1, 1, 1, 2) and not network.backbone.contract_dilation


def head(**changes):
    settings = dict(in_channels=[6, 10], channels=8, c1_channels=3, num_classes=4, dilations=(2, 3),
                    loss_decode=dict(type='CrossEntropyLoss'))
    return DeFTDeepLabV3PlusHead(**dict(settings, **changes))


def conv(block, x):
    conv2d, norm = block[0], block[1]
    assert conv2d.bias is None
    x = F.conv2d(x, conv2d.weight, padding=conv2d.padding, dilation=conv2d.dilation)
    return F.relu(F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps))


def test_forward_equals_a_plain_composition():
    torch.manual_seed(0)
    module = head().double().eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 2)
            layer.bias.data.normal_()
    low, deep = torch.randn(2, 6, 12, 16).double(), torch.randn(2, 10, 3, 4).double()
    unused = torch.zeros(2, 1, 1, 1)
    with torch.no_grad():
        fused = module.fused_features([low, unused, unused, deep])
        logits = module([low, unused, unused, deep])
        pool = conv(module.image_pool[1], deep.mean((2, 3), keepdim=True))
        pool = F.interpolate(pool, deep.shape[-2:], mode='bilinear', align_corners=True)
        context = torch.cat([pool, *(conv(branch, deep) for branch in module.aspp)], 1)
        context = conv(module.bottleneck, context)
        context = F.interpolate(context, low.shape[-2:], mode='bilinear', align_corners=True)
        x = torch.cat((conv(module.c1_bottleneck, low), context), 1)
        for block in module.refine:
            x = conv(block, x)
        expected = F.conv2d(x, module.conv_seg.weight, module.conv_seg.bias)
    assert fused.shape == (2, 8, 12, 16) and logits.shape == (2, 4, 12, 16)
    torch.testing.assert_close(fused, x)
    torch.testing.assert_close(logits, expected)


def test_widths_of_the_paper(cfg):
    with torch.device('meta'):
        module = MODELS.build(dict(cfg.decode_head))
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters() if p.dim() == 4}
    assert shapes['image_pool.1.0.weight'] == (256, 2048, 1, 1)
    assert [shapes[f'aspp.{i}.0.weight'] for i in range(4)] == [(256, 2048, 1, 1)] + 3 * [(256, 2048, 3, 3)]
    assert [module.aspp[i][0].dilation[0] for i in range(4)] == [1, 6, 12, 18]
    assert shapes['bottleneck.0.weight'] == (256, 1280, 1, 1)
    assert shapes['c1_bottleneck.0.weight'] == (48, 256, 1, 1)
    assert shapes['refine.0.0.weight'] == (256, 304, 3, 3) and shapes['refine.1.0.weight'] == (256, 256, 3, 3)
    assert shapes['conv_seg.weight'] == (19, 256, 1, 1)
    assert module.dropout is None and module.align_corners


def test_initialization_is_kaiming_normal_by_fan_in():
    torch.manual_seed(0)
    module = head(in_channels=[256, 512], channels=64, c1_channels=48)
    module.init_weights()
    for name, p in module.named_parameters():
        if p.dim() == 4:
            fan_in = p[0].numel()
            assert float(p.std()) == pytest.approx((2 / fan_in)**0.5, rel=0.1), name
        elif 'conv_seg' not in name:
            assert torch.all(p == float(name.endswith('weight'))), name


def test_bad_inputs():
    with pytest.raises(ValueError, match='two in_channels'):
        head(in_channels=[6, 10, 12])
