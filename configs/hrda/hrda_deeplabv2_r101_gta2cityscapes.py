"""HRDA on DeepLabV2 and ResNet-101 with DAFormer's training strategies, GTA -> Cityscapes.

Paper: HRDA (Hoyer et al., ECCV 2022; with DAFormer in TPAMI 2023), with other adaptation methods.
Command: mim train mmseg_dg hrda_deeplabv2_r101_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: about 63 mIoU on Cityscapes val (its author,
    docs/behavior/daformer_hrda.md#published-ablations-of-hrda).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_deeplabv2_r101.py', '../_base_/methods/hrda.py',
    '../_base_/datasets/uda_gta_to_cityscapes_hr.py', '../_base_/schedules/adamw_40k_cnn.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
