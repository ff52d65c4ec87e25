"""DeFT with ResNet-50 on GTA, with beta 0: the retentive components are copies of the adaptive ones after every step.

Paper: DeFT (Pahk et al., ICLR 2025), its Table 8 (sensitivity to beta).
Command: mim train mmseg_dg deft_r50_gta_beta0.py
Resources: 4 GPUs x batch 4 images = 16, 8000 + 40 000 iterations; hardware not stated; seeds 0, 1, 2.
Paper's score: its tables are not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './deft_r50_gta.py'
custom_hooks = [
    dict(type='DecoderWarmupHook'),
    dict(type='EMAUpdateHook', beta=0., when='after_step', ramp=False, buffers='batch'),
]
