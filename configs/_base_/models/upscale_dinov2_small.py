"""VFM-UDA's network on DINOv2-S for crops of 512 at half resolution (560 pixels, 40 tokens a side); ours."""
_base_ = './upscale_dinov2_base.py'
model = dict(
    network=dict(
        backbone=dict(arch='small', init_cfg=dict(checkpoint='pretrained/dinov2_small.pth')),
        decode_head=dict(in_channels=384),
        test_cfg=dict(crop_size=(512, 512), stride=(256, 256))))
