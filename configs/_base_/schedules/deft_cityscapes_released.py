"""DeFT on Cityscapes as the released script has it: 5 epochs of warm-up, other rates and decays, 80 000 iterations.

5 epochs of 371 iterations (2975 images, batch 8) are 1855 (docs/behavior/deft.md#optimization). 215 epochs of the
second stage are validated.
"""
_base_ = './deft_gta_released.py'
optim_wrapper = dict(optimizer=dict(lr=2.5e-3, weight_decay=1e-3))
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,
        warmup=dict(lr_mult=4., decay_mult=10., denominator='finetune'))  # 1e-2 and 1e-2
]
train_cfg = dict(max_iters=81855, val_interval=371, val_begin=1856)
auto_scale_lr = dict(base_batch_size=8)
