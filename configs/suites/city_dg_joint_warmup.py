"""Suite city_dg: joint finetuning after the decoder warm-up of DeFT, so that the rest of DeFT's lead is decoupling.

No paper row. Control: city_dg_joint.py.
Command: python tools/leaderboard.py configs/suites/city_dg.yml, or mim train mmseg_dg city_dg_joint_warmup.py; nothing
has to be fetched.
Resources: 1 CPU core, batch 4, crop 128, 300 + 1700 iterations.
Score: rows of the suite (docs/leaderboard.md). Status: not run at full length.
"""
_base_ = './city_dg_joint.py'
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,
        warmup=dict(lr_mult=1., decay_mult=10., denominator='warmup'))
]
custom_hooks = [dict(type='DecoderWarmupHook', warmup_iters=300)]
