"""Small real benchmark, self-training between 1/8 labeled and the other video frames: DACS without its domains.

No paper row. 39 labeled frames by day in four blocks, 250 without labels, 11 classes; the recipe of PiXL's
semi-supervised runs at this size, without PiXL's term: class mix, rare class sampling on the labeled frames, teacher.
Control of bench_pixl_semi_mobilenetv2.py; other lists: tools/study.py CONFIG --subsets 1_8_seed1.
Command: mim train mmseg_dg bench_semi_dacs_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; on 2 CPU cores about 40 minutes.
Score: see docs/benchmarks/pixl.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/methods/hrda_semi.py',
    '../_base_/datasets/bench_semi_camvid_192.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(network=dict(decode_head=dict(num_classes=11)))
# rare class sampling as in bench_daformer_mobilenetv2.py: 200 pixels of a frame, 375 of a 256 crop = 211 of a 192 one
_crop = dict(type='RareClassCrop', crop_size=(192, 192), cat_max_ratio=0.75, min_crop_pixels=211)
train_dataloader = dict(
    labeled=dict(
        sampler=dict(_delete_=True, type='RareClassSampler', temperature=0.01, min_pixels=200),
        dataset=dict(pipeline=[
            _crop if t.type == 'RandomCrop' else t for t in _base_.train_dataloader.labeled.dataset.pipeline
        ])))
custom_hooks = [
    # the paper's 0.999 remembers 1000 of 40 000 iterations, 0.99 remembers 100 of 2000
    dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='batch'),
    dict(type='TrainingPicturesHook', interval=250),
]
default_hooks = dict(checkpoint=dict(interval=500))
del _crop
