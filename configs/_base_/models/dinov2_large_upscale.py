"""VFM-UDA's network on DINOv2-L: dinov2_base_upscale.py with another encoder."""
_base_ = './dinov2_base_upscale.py'
model = dict(
    network=dict(
        backbone=dict(
            arch='large',
            with_cp=True,  # changes memory and time alone
            init_cfg=dict(checkpoint='pretrained/dinov2_large.pth')),
        decode_head=dict(in_channels=1024)))
