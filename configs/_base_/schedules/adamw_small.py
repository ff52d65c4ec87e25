"""A thousand iterations for own data on a small machine, from the network that ships with the package.

The rates are those of the small real benchmark, which trains the same kind of network. The warm-up is a share of the
run: its length may be changed alone.
"""
_base_ = './adamw_2k.py'
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_share=0.0375, warmup_ratio=1e-6, min_lr=0.)]
train_cfg = dict(max_iters=1000, val_interval=200)
