"""Linear probe on DINOv2-B: dinov2_small_linear.py with a larger encoder."""
_base_ = './dinov2_small_linear.py'
model = dict(
    network=dict(
        backbone=dict(
            arch='base',
            init_cfg=dict(checkpoint='pretrained/dinov2_base.pth')),
        decode_head=dict(in_channels=768)))
