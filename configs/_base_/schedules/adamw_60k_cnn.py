"""The same for convolutional encoders: only ``head`` has its own group, all else keeps weight decay (spec 8)."""
_base_ = './adamw_60k.py'
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys=dict(head=dict(lr_mult=10.))))
