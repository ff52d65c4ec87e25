"""Labeled images alone on Cityscapes, 1/8 with labels, DINOv2-B.

Paper: UniMatch V2 (Yang et al., TPAMI 2025), rows without unlabeled images.
Command: mim train mmseg_dg supervised_only_dinov2_base_cityscapes_1_8.py
Paper's resources: batch 16 labeled images, crop 798,
    180 epochs of 187 iterations (33 660); seeds 0, 1, 2 (ours).
Paper's score: 82.7 mIoU on Cityscapes val (the best of all epochs on val;
    docs/behavior/unimatch_v2.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_dpt.py', '../_base_/datasets/semi_cityscapes_798.py',
    '../_base_/schedules/adamw_cityscapes_180e.py',
    '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('unlabeled')
# twice the batch, fewer steps (docs/behavior/unimatch_v2.md#baselines)
train_dataloader = dict(labeled=dict(batch_size=16))
train_cfg = dict(_delete_=True, type='MultiStreamTrainLoop', max_iters=33660, val_interval=187)
auto_scale_lr = dict(base_batch_size=16)
model = dict(
    stream='labeled',
    network=dict(
        type='SlidingEncoderDecoder',
        decode_head=dict(
            num_classes=19,
            loss_decode=dict(_delete_=True, type='OHEMCrossEntropyLoss', threshold=0.7, min_kept_per_image=100000)),
        test_cfg=dict(mode='slide', crop_size=(798, 798), stride=(532, 532), window_sum='softmax')))
custom_hooks = [dict(type='ClassBiasPicturesHook')]
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='cityscapes/mIoU'))  # as the authors; the last is kept too
