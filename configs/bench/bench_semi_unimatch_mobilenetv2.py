"""Small real benchmark with few labels, UniMatch: 39 labeled and 250 unlabeled video frames.

No paper row. Two strong views and dropped features (channels of all four levels the decoder reads, p 0.5) with the
paper's weights; threshold and pseudo-labels as in bench_semi_fixmatch_mobilenetv2.py.
Control: bench_semi_supervised_only_mobilenetv2.py. Other lists: tools/study.py CONFIG --subsets 1_8_seed1 1_30_seed0.
Command: mim train mmseg_dg bench_semi_unimatch_mobilenetv2.py (data and weights under MMSEG_DG_SHARED).
Resources: 1 CPU or GPU x batch 2 + 2, crop 192, 2000 iterations; on one CPU thread 1.05 s each.
Score: see docs/benchmarks/. Status: run at full scale only where a page there says so.
"""
_base_ = [
    '../_base_/models/mobilenetv2_small.py', '../_base_/methods/unimatch.py',
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
