"""Small real benchmark, lower control with DAFormer's own source pipeline: rare class sampling, no colour distortion.

No paper row. Says how much of the source-only score is augmentation; compare with bench_daformer_nopmd_mobilenetv2.py.
Command: mim train mmseg_dg bench_source_only_nopmd_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 256, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_source_only_mobilenetv2.py'
train_dataloader = dict(
    source=dict(
        sampler=dict(_delete_=True, type='RareClassSampler', temperature=0.01, min_pixels=200),
        dataset=dict(pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=(640, 320), keep_ratio=True),
            dict(type='RareClassCrop', crop_size=(256, 256), cat_max_ratio=0.75, min_crop_pixels=375),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackStreamInputs'),
        ])))
