"""A thousand iterations for own data on a small machine, from the network that ships with the package.

The encoder and most of the decoder are trained already; the classifier is new, so the decoder has five times the
encoder's rate. The warm-up is a share of the run: its length may be changed alone.
"""
_base_ = './adamw_40k.py'
optim_wrapper = dict(
    optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=5.))))
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_share=0.05, warmup_ratio=1e-6, min_lr=0.)]
train_cfg = dict(max_iters=1000, val_interval=200)
