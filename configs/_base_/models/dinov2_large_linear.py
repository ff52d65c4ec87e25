"""Linear probe on DINOv2-L: dinov2_small_linear.py with a larger encoder."""
_base_ = './dinov2_small_linear.py'
model = dict(
    network=dict(
        backbone=dict(
            arch='large',
            init_cfg=dict(checkpoint='pretrained/dinov2_large.pth')),
        decode_head=dict(in_channels=1024)))
