"""Small real benchmark, DAFormer to the letter: no colour distortion of the source, feature distance 0.005.

No paper row. Child of bench_daformer_mobilenetv2.py that undoes its two departures from the paper's recipe.
Command: mim train mmseg_dg bench_daformer_nopmd_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 256, 2000 iterations; on 2 CPU cores about 40 minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_daformer_mobilenetv2.py'
model = dict(feature_distance=dict(weight=0.005))
train_dataloader = dict(
    source=dict(
        dataset=dict(pipeline=[
            t for t in _base_.train_dataloader.source.dataset.pipeline if t.type != 'PhotoMetricDistortion'
        ])))
