"""Labeled images alone on COCO, 1/128 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabeled images.
Command: mim train mmseg_dg supervised_only_r50_coco_1_128.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labeled images, crop 513, 30 epochs of 14670 iterations (440 100);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources for this network; 33.6 mIoU on COCO val with Xception-65.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_v1c_r50.py', '../_base_/datasets/semi_coco81.py',
    '../_base_/schedules/sgd_coco_30e.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# twice the batch, the same rate (docs/behavior/unimatch.md#unimatch-settings)
train_dataloader = dict(labeled=dict(batch_size=16))
train_cfg = dict(  # as many steps as the others: 30 x 14670
    _delete_=True, type='MultiStreamTrainLoop', max_iters=440100, val_interval=14670)
auto_scale_lr = dict(base_batch_size=16)
model = dict(stream='labeled', network=dict(decode_head=dict(num_classes=81)))
custom_hooks = [dict(type='ClassBiasPicturesHook')]
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='coco/mIoU'))  # UniMatch reports the best epoch
