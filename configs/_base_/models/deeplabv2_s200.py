"""DeepLabV2 on ResNeSt-200 (docs/behavior/daformer_hrda.md#other-encoders: stem 128, radix 2, reduction 4,
average-pooled strides)."""
_base_ = './deeplabv2_r101.py'
model = dict(
    network=dict(
        backbone=dict(
            type='ResNeSt',
            depth=200,
            stem_channels=128,
            radix=2,
            reduction_factor=4,
            avg_down_stride=True,
            init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnest200.pth'))))
