"""DeepLabV3+ on torchvision's ResNet-101 as DeFT trains it (docs/behavior/deft.md#network)."""
_base_ = './deft_r50.py'
model = dict(
    network=dict(
        backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet101.pth'))))
