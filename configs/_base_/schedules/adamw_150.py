"""The demo's 150 iterations: the rest of a training whose first part ships as weights.

One rate for encoder and decoder, since both are trained already; 11 iterations of warm-up.
"""
_base_ = './adamw_40k.py'
optim_wrapper = dict(
    optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(_delete_=True, lr_mult=1.))))
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_iters=11, warmup_ratio=1e-6, min_lr=0.)]
train_cfg = dict(max_iters=150, val_interval=150)
auto_scale_lr = dict(base_batch_size=4)
