"""Labeled images alone on Cityscapes, 1/8 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabeled images.
Command: mim train mmseg_dg supervised_only_r50_cityscapes_1_8.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labeled images, crop 801, 240 epochs of 325 iterations (78 000);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 70.2 mIoU on Cityscapes val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_v1c_r50.py', '../_base_/datasets/semi_cityscapes.py',
    '../_base_/schedules/sgd_cityscapes_240e.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# twice the batch, the same rate (docs/behavior/unimatch.md#unimatch-settings)
train_dataloader = dict(labeled=dict(batch_size=16))
train_cfg = dict(  # as many steps as the others: 240 x 325
    _delete_=True, type='MultiStreamTrainLoop', max_iters=78000, val_interval=325)
auto_scale_lr = dict(base_batch_size=16)
model = dict(
    stream='labeled',
    network=dict(
        type='SlidingEncoderDecoder',
        decode_head=dict(
            num_classes=19,
            loss_decode=dict(_delete_=True, type='OHEMCrossEntropyLoss', threshold=0.7, min_kept_per_image=100000)),
        test_cfg=dict(mode='slide', crop_size=(801, 801), stride=(534, 534), window_sum='softmax')))
custom_hooks = [dict(type='ClassBiasPicturesHook')]
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='cityscapes/mIoU'))  # UniMatch reports the best epoch
