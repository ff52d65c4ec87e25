"""DiffMatch on COCO, 1/128 with labels, ResNet-50.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r50_coco_1_128.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labeled + 8 unlabeled images, crop 513, 30
    epochs of 14670 iterations (440 100); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/diffmatch_r50.py', '../_base_/methods/diffmatch.py', '../_base_/datasets/semi_coco81.py',
    '../_base_/schedules/sgd_coco_30e.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
model.update(network=dict(decode_head=dict(num_classes=81)))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='coco/mIoU'))  # UniMatch reports the best epoch
