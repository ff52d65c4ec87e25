"""Small real benchmark, generalization, control: joint finetuning after the decoder warm-up of DeFT.

No paper row. As bench_deft_mobilenetv2.py without the decoupling: what is left of its lead is due to that.
Command: mim train mmseg_dg bench_joint_warmup_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 300 + 1700 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_joint_mobilenetv2.py'
param_scheduler = [
    dict(
        type='TwoStagePolyLR',
        power=0.9,
        warmup=dict(lr_mult=1., decay_mult=10., denominator='warmup'))
]
custom_hooks = [dict(type='DecoderWarmupHook', warmup_iters=300)]
