"""Small real benchmark, generalization, control: joint finetuning on rendered scenes, judged on unseen domains.

No paper row. Same network, augmentation, optimizer and number of iterations (300 + 1700) as bench_deft_mobilenetv2.py,
one stage: learning rate 1e-2, weight decay 5e-4.
Command: mim train mmseg_dg bench_joint_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/datasets/bench_dg_synthcity.py',
    '../_base_/schedules/deft_2k.py', '../_base_/protocols/dg_synthcity.py'
]
__network = dict(decode_head=dict(dropout_ratio=0., loss_decode=dict(avg_non_ignore=True)))  # as DeFT's own decoder
model = dict(type='JointFinetuning', network=__network)
param_scheduler = [dict(type='WarmupPolyLR', power=0.9)]
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
