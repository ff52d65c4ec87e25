"""DeepLabV2 on the deep-stem ResNet-50 (docs/behavior/daformer_hrda.md#experiments-of-daformer)."""
_base_ = './deeplabv2_r101.py'
model = dict(
    network=dict(
        backbone=dict(depth=50, init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_v1c.pth'))))
