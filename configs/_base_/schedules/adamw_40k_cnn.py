"""The same for convolutional encoders: only ``head`` has its own group, all else keeps weight decay
(docs/behavior/daformer_hrda.md#optimizer-and-schedule)."""
_base_ = './adamw_40k.py'
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys=dict(head=dict(lr_mult=10.))))
