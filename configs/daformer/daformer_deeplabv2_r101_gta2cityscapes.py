"""DeepLabV2 on ResNet-101 with all of DAFormer's training strategies, GTA -> Cityscapes.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), training strategies
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg daformer_deeplabv2_r101_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 56.0 +- 0.5 mIoU on Cityscapes val (unconfirmed;
    docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv2_r101.py', '../_base_/methods/daformer_cityscapes.py',
    '../_base_/datasets/uda_gta_to_cityscapes.py', '../_base_/schedules/adamw_40k_cnn.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
