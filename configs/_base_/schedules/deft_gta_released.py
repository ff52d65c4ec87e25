"""DeFT on GTA as the released script has it: 10 epochs of warm-up, 80 000 iterations, one seed.

10 epochs of 774 iterations (12 388 images, batch 16) are 7740. The warm-up's rate hardly decays: its denominator is
the length of the second stage (docs/behavior/deft.md#optimization). Each epoch of the second stage is validated: 103
candidates for the best score on the source (and the last iteration, which every run here validates).
"""
_base_ = './deft_gta.py'
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,
        warmup=dict(lr_mult=1., decay_mult=10., denominator='finetune'))  # 1e-2 and 5e-3
]
train_cfg = dict(max_iters=87740, val_interval=774, val_begin=7741)
study = dict(seeds=[304])  # docs/behavior/deft.md#optimization
