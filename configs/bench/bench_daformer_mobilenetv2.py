"""Small real benchmark, DAFormer's training strategies: rendered source with labels, real video frames without.

No paper row: synthcity -> camvid_day with MobileNetV2, scored on 11 classes by day (the sequence of the validation
frames is also among the unlabeled training frames) and at dusk (unseen).
Command: mim train mmseg_dg bench_daformer_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 256, 2000 iterations; on 2 CPU cores about 40 minutes.
Score: see docs/benchmarks/real_mini.md. Status: run at full scale only where that page says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/methods/daformer.py',
    '../_base_/datasets/uda_synthcity_to_camvid.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
# the distance of a cell is about 3 in MobileNetV2's last map, 23 in the recorded official step (MiT): 0.005 x 8 gives
# the term the share of the loss it has in the paper's setting
model['feature_distance'].update(weight=0.04)
custom_hooks = [
    # the paper's 0.999 remembers 1000 of 40 000 iterations, 0.99 remembers 100 of 2000
    dict(type='EMAUpdateHook', beta=0.99, when='before_step', ramp=True, buffers='batch'),
    dict(type='TrainingPicturesHook', interval=250),
]
default_hooks = dict(checkpoint=dict(interval=500))
