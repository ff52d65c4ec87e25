"""Small real benchmark with few labels, FixMatch: 39 labeled and 250 unlabeled video frames.

No paper row. The loss, strong view and CutMix of UniMatch's FixMatch baseline at the size of the small real benchmark.
Threshold 0.95 as on VOC and COCO: 0 (Cityscapes) would learn from an untrained network's guesses, which 83 000
iterations forgive and 2000 may not. Pseudo-labels are the student's, as published: no teacher to tune.
Control: bench_semi_supervised_only_mobilenetv2.py. Other lists: tools/study.py CONFIG --subsets 1_8_seed1 1_30_seed0.
Command: mim train mmseg_dg bench_semi_fixmatch_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; on one CPU thread 0.66 s each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/methods/fixmatch.py',
    '../_base_/datasets/bench_semi_camvid_192.py', '../_base_/schedules/adamw_2k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
model.update(network=dict(decode_head=dict(num_classes=11, loss_decode=dict(avg_non_ignore=True))))
train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.unlabeled)  # what CutMix pastes, drawn by itself
custom_hooks = [
    dict(type='PseudoLabelStatisticsHook', interval=10, window=100),
    dict(type='ClassBiasPicturesHook'),
    dict(type='TrainingPicturesHook', interval=500),
]
default_hooks = dict(checkpoint=dict(interval=500))
