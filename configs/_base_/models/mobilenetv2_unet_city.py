"""The shipped encoder under a small U-Net decoder with a stride-2 skip, 19 classes: DDeP's demo."""
_base_ = './mobilenetv2_unet_small.py'
model = dict(
    network=dict(
        backbone=dict(
            norm_eval=True, init_cfg=dict(checkpoint='mmseg_dg://city_day_mobilenetv2', prefix='backbone.')),
        decode_head=dict(num_classes=19)))
