"""DeepLabV2 on ResNet-50 on Cityscapes labels (oracle).

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), table of encoder sizes
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg target_only_deeplabv2_r50_cityscapes.py
Paper's resources: one GPU, batch 2 images, 40 000 iterations; seeds 0.
Paper's score: 70.8 mIoU on Cityscapes val (unconfirmed; docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv2_r50.py', '../_base_/datasets/target_only_cityscapes.py',
    '../_base_/schedules/adamw_40k_cnn.py', '../_base_/default_runtime.py'
]
study = dict(seeds=[0])  # docs/behavior/daformer_hrda.md#experiments-of-daformer
