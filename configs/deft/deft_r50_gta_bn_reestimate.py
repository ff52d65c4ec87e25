"""DeFT with ResNet-50 on GTA, with statistics of the retentive decoder estimated anew before each test.

No row of the paper that we know.
Command: mim train mmseg_dg deft_r50_gta_bn_reestimate.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
custom_hooks = [
    dict(type='DecoderWarmupHook'),
    dict(type='EMAUpdateHook', beta=0.9999, when='after_step', ramp=False, buffers='batch'),
    dict(type='ReestimateStatisticsHook', batches=50, parts=('decode_head', )),
]
