"""Small real benchmark, upper control (oracle): trained on the labels of the real target.

No paper row. Same network, schedule and budget as bench_daformer_mobilenetv2.py.
Command: mim train mmseg_dg bench_target_only_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/datasets/target_only_camvid.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
default_hooks = dict(checkpoint=dict(interval=500))
