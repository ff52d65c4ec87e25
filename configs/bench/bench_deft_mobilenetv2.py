"""Small real benchmark, generalization: DeFT on rendered street scenes, judged on real video and shifted domains.

No paper row: synthcity by day -> CamVid by day and at dusk, the city by night, in fog and rain. MobileNetV2.
Command: mim train mmseg_dg bench_deft_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 300 + 1700 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/methods/deft.py', '../_base_/datasets/bench_dg_synthcity.py',
    '../_base_/schedules/deft_2k.py', '../_base_/protocols/dg_synthcity.py'
]
__network = dict(decode_head=dict(dropout_ratio=0., loss_decode=dict(avg_non_ignore=True)))  # as DeFT's own decoder
model = _base_.pop('method')
model.update(warmup_iters=300, network=__network)
custom_hooks = [
    dict(type='DecoderWarmupHook'),
    # 0.9999 leaves 1.8 % of the initialization after the paper's 40 000 iterations and 84 % after 1700;
    # 0.99765^1700 = 0.9999^40000
    dict(type='EMAUpdateHook', beta=0.99765, when='after_step', ramp=False, buffers='batch'),
]
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
