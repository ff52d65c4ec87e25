"""Labeled images alone on ADE20K, 1/16 with labels, DINOv2-B.

Paper: UniMatch V2 (Yang et al., TPAMI 2025), rows without unlabeled images.
Command: mim train mmseg_dg supervised_only_dinov2_base_ade20k_1_16.py
Paper's resources: batch 16 labeled images, crop 518,
    60 epochs of 375 iterations (22 500); seeds 0, 1, 2 (ours).
Paper's score: 42.8 mIoU on ADE20K val (the best of all epochs on val;
    docs/behavior/unimatch_v2.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_dpt.py', '../_base_/datasets/semi_ade20k.py',
    '../_base_/schedules/adamw_ade20k_60e.py',
    '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# twice the batch, fewer steps (docs/behavior/unimatch_v2.md#baselines)
train_dataloader = dict(labeled=dict(batch_size=16))
train_cfg = dict(_delete_=True, type='MultiStreamTrainLoop', max_iters=22500, val_interval=375)
auto_scale_lr = dict(base_batch_size=16)
model = dict(stream='labeled', network=dict(decode_head=dict(num_classes=150)))
custom_hooks = [dict(type='ClassBiasPicturesHook')]
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='ade20k/mIoU'))  # as the authors; the last is kept too
