"""Demo of generalization: DeFT on the built-in city by day, judged on domains it never sees.

No paper row. Command: make demo METHOD=deft, or mim train mmseg_dg deft_synthcity_demo.py; nothing has to be fetched.
It starts from the network that ships with the package, whose decoder is trained: the warm-up is short. Control:
joint_synthcity_demo.py.
Resources: 1 CPU core, batch 4, crop 128, 20 + 130 iterations; two minutes, images included.
Score: README.md in this folder. Status: run by the tests.
"""
_base_ = ['./joint_synthcity_demo.py', '../_base_/methods/deft.py']
model = _base_.pop('method')
model.update(warmup_iters=20)
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,
        warmup=dict(lr_mult=1., decay_mult=10., denominator='warmup'))
]
custom_hooks = [
    dict(type='DecoderWarmupHook'),
    # 0.9999 leaves 1.8 % of the initialization after the paper's 40 000 iterations; so does this after 130
    dict(type='EMAUpdateHook', beta=0.9697, when='after_step', ramp=False, buffers='batch'),
]
