"""DeFT's two stages shrunk to the demo's 150 iterations.

Momentum, decays and powers are the paper's; a tenth of its rate, for a network that is trained already.
"""
_base_ = './deft_gta.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_iters=150, val_interval=150)
auto_scale_lr = dict(base_batch_size=4)
