"""UniMatch V2 on Cityscapes, 1/8 with labels, DINOv2-B.

Paper: UniMatch V2 (Yang et al., TPAMI 2025).
Command: mim train mmseg_dg unimatch_v2_dinov2_base_cityscapes_1_8.py
Paper's resources: 47 hours, 4 GPUs; batch 8 labeled + 8 unlabeled images, crop 798,
    180 epochs of 325 iterations (58 500); seeds 0, 1, 2 (ours).
Paper's score: 84.30 mIoU on Cityscapes val (last epoch 83.88; the best of all epochs on val;
    docs/behavior/unimatch_v2.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_dpt.py', '../_base_/methods/unimatch_v2.py',
    '../_base_/datasets/semi_cityscapes_798.py', '../_base_/schedules/adamw_cityscapes_180e.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
model.update(
    network=dict(
        type='SlidingEncoderDecoder',
        decode_head=dict(
            num_classes=19,
            loss_decode=dict(_delete_=True, type='OHEMCrossEntropyLoss', threshold=0.7, min_kept_per_image=100000)),
        test_cfg=dict(mode='slide', crop_size=(798, 798), stride=(532, 532), window_sum='softmax')))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='cityscapes/mIoU'))  # as the authors; the last is kept too
