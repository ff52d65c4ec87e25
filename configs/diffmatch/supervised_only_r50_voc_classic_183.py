"""Labeled images alone on VOC 2012 classic, 183 labeled images, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabeled images.
Command: mim train mmseg_dg supervised_only_r50_voc_classic_183.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labeled images, crop 513, 80 epochs of 1299 iterations (103 920);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_v1c_r50.py', '../_base_/datasets/semi_voc_classic.py',
    '../_base_/schedules/sgd_voc_80e.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# twice the batch, the same rate (docs/behavior/unimatch.md#unimatch-settings)
train_dataloader = dict(labeled=dict(batch_size=16))
train_cfg = dict(  # as many steps as the others: 80 x 1299
    _delete_=True, type='MultiStreamTrainLoop', max_iters=103920, val_interval=1299)
auto_scale_lr = dict(base_batch_size=16)
model = dict(stream='labeled', network=dict(decode_head=dict(num_classes=21)))
custom_hooks = [dict(type='ClassBiasPicturesHook')]
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='voc/mIoU'))  # UniMatch reports the best epoch
