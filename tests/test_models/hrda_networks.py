"""Small HRDA networks for the tests, and the inputs of docs/behavior/daformer_hrda.md#check-values."""
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule

from mmseg_dg.registry import MODELS

from .test_decode_heads import MIT, fill

DAFORMER = dict(type='DAFormerHead', in_channels=MIT, num_classes=19, dropout_ratio=0.)
BOX = (24, 88, 40, 104)


@MODELS.register_module(force=True)
class CosinePyramid(BaseModule):
    """The parameterless encoder of docs/behavior/daformer_hrda.md#check-values."""

    def forward(self, images):
        levels = []
        for level, (channels, stride) in enumerate(zip(MIT, (4, 8, 16, 32))):
            p = F.avg_pool2d(images, stride)
            phase = (p[:, 0] + 0.5 * p[:, 1] - 0.25 * p[:, 2]).unsqueeze(1)
            k = torch.arange(channels, dtype=images.dtype).view(1, -1, 1, 1)
            levels.append(torch.cos(0.3 * level + 0.013 * k + phase))
        return tuple(levels)


def build_head(**kwargs):
    return fill(MODELS.build(dict(type='HRDAHead', head=DAFORMER, **kwargs)).double()).eval()


def toy(**kwargs):
    """The segmentor of docs/behavior/daformer_hrda.md#check-values: fixed features, filled head, detail crop 64."""
    head = dict(dict(type='HRDAHead', head=DAFORMER), **kwargs.pop('head', {}))
    kwargs = dict(dict(hr_crop_size=(64, 64)), **kwargs)
    model = MODELS.build(dict(type='HRDAEncoderDecoder', backbone=dict(type='CosinePyramid'), decode_head=head,
                              **kwargs)).double()
    fill(model)
    return model.eval()


def tiny(norm='BN', head=None, **kwargs):
    """A real Mix Transformer, very small, with random weights; float32."""
    decoder = dict(type='DAFormerHead', in_channels=[8, 8, 8, 8], channels=8, embed_channels=8, num_classes=5,
                   fusion=dict(type='sep_aspp', dilations=(1, 6)), norm_cfg=dict(type=norm))
    config = dict(
        type='HRDAEncoderDecoder', hr_crop_size=(64, 64),
        backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4),
        decode_head=dict(dict(type='HRDAHead', head=decoder, attention_channels=8), **(head or {})))
    torch.manual_seed(0)
    model = MODELS.build(dict(config, **kwargs))
    for module in model.modules():  # statistics and weights that make windows differ
        if hasattr(module, 'running_mean') and module.running_mean is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    for module in (model.decode_head.head, model.decode_head.scale_attention):
        if module is not None and hasattr(module, 'conv_seg'):
            torch.nn.init.normal_(module.conv_seg.weight, 0, 0.5)
    return model.eval()


def wave(batch, height, width):
    b, c, y, x = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in (batch, 3, height, width)],
                                indexing='ij')
    return torch.sin(0.9 * b + 1.7 * c + 0.05 * y + 0.031 * x)


def label_pattern(batch, height, width):
    b, y, x = torch.meshgrid(*[torch.arange(n) for n in (batch, height, width)], indexing='ij')
    label = ((y // 8) * 7 + (x // 8) * 3 + 5 * b) % 21
    return torch.where(label >= 19, 255, label)
