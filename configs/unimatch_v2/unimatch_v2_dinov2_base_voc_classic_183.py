"""UniMatch V2 on VOC 2012 classic, 183 labeled images, DINOv2-B.

Paper: UniMatch V2 (Yang et al., TPAMI 2025).
Command: mim train mmseg_dg unimatch_v2_dinov2_base_voc_classic_183.py
Paper's resources: 12 to 13 hours, 4 GPUs of 20 GB; batch 16 labeled + 16 unlabeled images, crop 518,
    60 epochs of 649 iterations (38 940); seeds 0, 1, 2 (ours).
Paper's score: 87.92 mIoU on VOC val (last epoch 87.40; the best of all epochs on val;
    docs/behavior/unimatch_v2.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_dpt.py', '../_base_/methods/unimatch_v2.py',
    '../_base_/datasets/semi_voc_classic_518.py', '../_base_/schedules/adamw_voc_60e.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
model.update(network=dict(decode_head=dict(num_classes=21)))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='voc/mIoU'))  # as the authors; the last is kept too
