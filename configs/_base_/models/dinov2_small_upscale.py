"""VFM-UDA's network on DINOv2-S: dinov2_base_upscale.py with another encoder."""
_base_ = './dinov2_base_upscale.py'
model = dict(
    network=dict(
        backbone=dict(
            arch='small',
            init_cfg=dict(checkpoint='pretrained/dinov2_small.pth')),
        decode_head=dict(in_channels=384),
        test_cfg=dict(crop_size=(512, 512), stride=(256, 256))))  # at half resolution: 560 pixels, 40 x 40 tokens
