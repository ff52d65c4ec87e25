"""Joint finetuning after the same decoder warm-up: what decoupling adds to it.

No row of the paper that we know.
Command: mim train mmseg_dg joint_r50_gta_warmup.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './joint_r50_gta.py'
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,
        warmup=dict(lr_mult=1., decay_mult=10., denominator='warmup'))
]
custom_hooks = [dict(type='DecoderWarmupHook', warmup_iters=8000)]
