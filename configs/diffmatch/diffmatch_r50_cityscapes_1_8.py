"""DiffMatch on Cityscapes, 1/8 with labels, ResNet-50.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r50_cityscapes_1_8.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labeled + 8 unlabeled images, crop 801, 240
    epochs of 325 iterations (78 000); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/diffmatch_r50.py', '../_base_/methods/diffmatch.py', '../_base_/datasets/semi_cityscapes.py',
    '../_base_/schedules/sgd_cityscapes_240e.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file with unlabeled images
model.update(
    threshold=0.,  # every pixel counts (docs/behavior/unimatch.md#unimatch-settings)
    network=dict(
        decode_head=dict(num_classes=19),
        denoiser=dict(
            loss_decode=dict(_delete_=True, type='OHEMCrossEntropyLoss', threshold=0.7, min_kept_per_image=100000)),
        test_cfg=dict(mode='slide', crop_size=(801, 801), stride=(534, 534), window_sum='softmax')))
val_evaluator = dict(type='ClassBiasMetric')  # head, middle and tail thirds as well
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='cityscapes/mIoU'))  # UniMatch reports the best epoch
