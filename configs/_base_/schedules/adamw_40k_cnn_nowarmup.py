"""The same for convolutional encoders (see adamw_40k_cnn.py and adamw_40k_nowarmup.py)."""
_base_ = './adamw_40k_nowarmup.py'
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys=dict(head=dict(lr_mult=10.))))
