"""VFM-UDA's network on DINOv2-L; blocks are recomputed in the backward pass, which changes memory and time alone."""
_base_ = './upscale_dinov2_base.py'
model = dict(
    network=dict(
        backbone=dict(
            arch='large', out_indices=(23, ), with_cp=True, init_cfg=dict(checkpoint='pretrained/dinov2_large.pth')),
        decode_head=dict(in_channels=1024)))
