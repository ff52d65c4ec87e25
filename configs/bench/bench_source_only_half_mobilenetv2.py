"""Small real benchmark, lower control at half resolution: see bench_daformer_half_mobilenetv2.py.

No paper row. Source labels only, images and frames at half size, crops of 128.
Command: mim train mmseg_dg bench_source_only_half_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 128, 2000 iterations; on 2 CPU cores under 10 minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_source_only_mobilenetv2.py'
__half = {'Resize': dict(scale=(320, 160)), 'RandomCrop': dict(crop_size=(128, 128))}
train_dataloader = dict(
    source=dict(
        dataset=dict(pipeline=[
            dict(t, **__half.get(t.type, {})) for t in _base_.train_dataloader.source.dataset.pipeline
        ])))
__val = dict(
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(192, 144), keep_ratio=True),  # of 384x288
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs')
    ]))
val_dataloader = dict(camvid_day=__val, camvid_dusk=__val)
test_dataloader = val_dataloader
