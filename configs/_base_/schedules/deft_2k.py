"""DeFT's two stages shrunk for the small real benchmark: 300 iterations of decoder warm-up, 1700 of finetuning.

Rates, momentum, decays and powers are the paper's.
"""
_base_ = './deft_gta.py'
train_cfg = dict(max_iters=2000, val_interval=1000)
auto_scale_lr = dict(base_batch_size=2)
