"""Demo, lower control: the built-in city by day only.

No paper row. Command: mim train mmseg_dg source_only_synthcity_demo.py; nothing has to be fetched.
Resources: 2 CPU cores, batch 2, crop 128, 300 iterations; about a minute, images included.
Score: to compare with daformer_synthcity_demo.py, which see. Status: run by the tests.
"""
_base_ = [
    '../_base_/models/daformer_tiny.py', '../_base_/datasets/source_only_synthcity_day_to_camera.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
optim_wrapper = dict(
    optimizer=dict(lr=3e-3), paramwise_cfg=dict(custom_keys=dict(head=dict(_delete_=True, lr_mult=1.))))
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_iters=11, warmup_ratio=1e-6, min_lr=0.)]
train_cfg = dict(max_iters=300, val_interval=150)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
