"""Small real benchmark, all 305 video frames by day labeled, 11 classes: upper control of the semi-supervised runs.

No paper row. Supervised training with rare class sampling, as PiXL trains with all labels, without PiXL's term.
Control of bench_pixl_full_mobilenetv2.py.
Command: mim train mmseg_dg bench_supervised_camvid11_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2, crop 192, 2000 iterations; on 2 CPU cores some tens of minutes.
Score: see docs/benchmarks/pixl.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/datasets/bench_semi_camvid_192.py',
    '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
model = dict(stream='labeled', network=dict(decode_head=dict(num_classes=11)))
# rare class sampling as in bench_daformer_mobilenetv2.py: 200 pixels of a frame, 375 of a 256 crop = 211 of a 192 one
_crop = dict(type='RareClassCrop', crop_size=(192, 192), cat_max_ratio=0.75, min_crop_pixels=211)
train_dataloader = dict(
    labeled=dict(
        sampler=dict(_delete_=True, type='RareClassSampler', temperature=0.01, min_pixels=200),
        dataset=dict(
            ann_file='',  # every frame of the folder
            pipeline=[
                _crop if t.type == 'RandomCrop' else t for t in _base_.train_dataloader.labeled.dataset.pipeline
            ])))
default_hooks = dict(checkpoint=dict(interval=500))
del _crop
