"""Labeled images alone on VOC 2012 classic, 183 labeled images, DINOv2-S.

Paper: UniMatch V2 (Yang et al., TPAMI 2025), rows without unlabeled images.
Command: mim train mmseg_dg supervised_only_dinov2_small_voc_classic_183.py
Paper's resources: batch 32 labeled images, crop 518,
    60 epochs of 93 iterations (5580); seeds 0, 1, 2 (ours).
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_small_dpt.py', '../_base_/datasets/semi_voc_classic_518.py',
    '../_base_/schedules/adamw_voc_60e.py',
    '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# twice the batch, fewer steps (docs/behavior/unimatch_v2.md#baselines)
train_dataloader = dict(labeled=dict(batch_size=32))
train_cfg = dict(_delete_=True, type='MultiStreamTrainLoop', max_iters=5580, val_interval=93)
auto_scale_lr = dict(base_batch_size=32)
model = dict(stream='labeled', network=dict(decode_head=dict(num_classes=21)))
custom_hooks = [dict(type='ClassBiasPicturesHook')]
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='voc/mIoU'))  # as the authors; the last is kept too
