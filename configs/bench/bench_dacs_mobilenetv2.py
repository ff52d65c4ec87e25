"""Small real benchmark, ablation: plain self-training, without rare class sampling and feature distance.

No paper row. Same budget as bench_daformer_mobilenetv2.py.
Command: mim train mmseg_dg bench_dacs_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 256, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_daformer_mobilenetv2.py'
model = dict(feature_distance=None)
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='StatefulInfiniteSampler', shuffle=True)))
