"""Small real benchmark, DAFormer's training strategies without feature distance: MiT-B0 from random weights.

No paper row: no Mix Transformer weights are at hand where this benchmark runs, so its scores say something about the
code path, not about the method.
Command: mim train mmseg_dg bench_daformer_mitb0_scratch.py (data under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_daformer_mobilenetv2.py'
model = dict(
    feature_distance=None,  # a random encoder knows nothing worth staying close to
    network=dict(
        backbone=dict(_delete_=True, type='MixTransformer', arch='b0', drop_path_rate=0.1, init_cfg=None),
        decode_head=dict(in_channels=[32, 64, 160, 256])))
