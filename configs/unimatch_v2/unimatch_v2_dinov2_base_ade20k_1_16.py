"""UniMatch V2 on ADE20K, 1/16 with labels, DINOv2-B.

Paper: UniMatch V2 (Yang et al., TPAMI 2025).
Command: mim train mmseg_dg unimatch_v2_dinov2_base_ade20k_1_16.py
Paper's resources: 4 GPUs; batch 8 labeled + 8 unlabeled images, crop 518,
    60 epochs of 2368 iterations (142 080); seeds 0, 1, 2 (ours).
Paper's score: 46.7 mIoU on ADE20K val (the best of all epochs on val;
    docs/behavior/unimatch_v2.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_dpt.py', '../_base_/methods/unimatch_v2.py',
    '../_base_/datasets/semi_ade20k.py', '../_base_/schedules/adamw_ade20k_60e.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
model.update(network=dict(decode_head=dict(num_classes=150)))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='ade20k/mIoU'))  # as the authors; the last is kept too
