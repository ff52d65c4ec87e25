"""Small real benchmark, generalization: DeFT with the paper's beta, which keeps 84 % of the initialization here.

No paper row. Child of bench_deft_mobilenetv2.py that undoes its one departure from the paper's settings.
Command: mim train mmseg_dg bench_deft_beta09999_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 300 + 1700 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_deft_mobilenetv2.py'
custom_hooks = [
    dict(type='DecoderWarmupHook'),
    dict(type='EMAUpdateHook', beta=0.9999, when='after_step', ramp=False, buffers='batch'),
]
