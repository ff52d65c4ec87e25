"""Small real benchmark, lower control: rendered source images only, validated on real video.

No paper row: our own check that adaptation works end to end on real photographs at a size a laptop can train.
Command: mim train mmseg_dg bench_source_only_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/datasets/source_only_synthcity_to_camvid.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
default_hooks = dict(checkpoint=dict(interval=500))
