"""Small real benchmark, DAFormer at half resolution: what HRDA's context branch sees in bench_hrda_mobilenetv2.py.

No paper row. The papers compare HRDA with a DAFormer that reads images at half HRDA's resolution; at this benchmark's
sizes that is a DAFormer on 192x144 frames with crops of 128. Predictions are scored at the original size.
Command: mim train mmseg_dg bench_daformer_half_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 128, 2000 iterations; on 2 CPU cores about 15 minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = './bench_daformer_mobilenetv2.py'
__frame = dict(type='Resize', scale=(192, 144), keep_ratio=True)  # of 384x288
__half = {
    'Resize': dict(scale=(320, 160)),
    'RareClassCrop': dict(crop_size=(128, 128), min_crop_pixels=94),  # 375 of a 256 crop
    'RandomCrop': dict(crop_size=(128, 128)),
}
__load, *__rest = [dict(t, **__half.get(t.type, {})) for t in _base_.train_dataloader.target.dataset.pipeline]
train_dataloader = dict(
    source=dict(
        dataset=dict(pipeline=[
            dict(t, **__half.get(t.type, {})) for t in _base_.train_dataloader.source.dataset.pipeline
        ])),
    target=dict(dataset=dict(pipeline=[__load, __frame, *__rest])))
__val = dict(
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'), __frame,
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs')
    ]))
val_dataloader = dict(camvid_day=__val, camvid_dusk=__val)
test_dataloader = val_dataloader
