"""UniMatch V2 on COCO, 1/128 with labels, DINOv2-B.

Paper: UniMatch V2 (Yang et al., TPAMI 2025).
Command: mim train mmseg_dg unimatch_v2_dinov2_base_coco_1_128.py
Paper's resources: 4 GPUs; batch 16 labeled + 16 unlabeled images, crop 518,
    20 epochs of 7335 iterations (146 700); seeds 0, 1, 2 (ours).
Paper's score: 58.7 mIoU on COCO val (the best of all epochs on val;
    docs/behavior/unimatch_v2.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_dpt.py', '../_base_/methods/unimatch_v2.py',
    '../_base_/datasets/semi_coco81_518.py', '../_base_/schedules/adamw_coco_20e.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
model.update(network=dict(decode_head=dict(num_classes=81)))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='coco/mIoU'))  # as the authors; the last is kept too
