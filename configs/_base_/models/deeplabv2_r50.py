"""DeepLabV2 on the deep-stem ResNet-50 (spec 9.1, table of encoder sizes)."""
_base_ = './deeplabv2_r101.py'
model = dict(
    network=dict(
        backbone=dict(depth=50, init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_v1c.pth'))))
