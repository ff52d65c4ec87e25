"""UniMatch on COCO, 1/128 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r50_coco_1_128.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labeled + 8 unlabeled images, crop 513, 30 epochs of 14670
    iterations (440 100); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources for this network; 44.4 mIoU on COCO val with Xception-65.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_v1c_r50.py', '../_base_/methods/unimatch.py', '../_base_/datasets/semi_coco81.py',
    '../_base_/schedules/sgd_coco_30e.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.unlabeled)  # what CutMix pastes, drawn by itself
model.update(network=dict(decode_head=dict(num_classes=81)))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='coco/mIoU'))  # UniMatch reports the best epoch
