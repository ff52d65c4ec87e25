"""DPT head on DINOv2-S as UniMatch V2 has it (docs/behavior/unimatch_v2.md#network): 24.8 million parameters, 2.7 of
them in the head."""
_base_ = './dpt_dinov2_base.py'
model = dict(
    network=dict(
        backbone=dict(arch='small', init_cfg=dict(checkpoint='pretrained/dinov2_small.pth')),
        decode_head=dict(in_channels=[384] * 4)))
