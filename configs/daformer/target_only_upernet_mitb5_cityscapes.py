"""MiT-B5 on Cityscapes labels (oracle) with another decoder: UPerNet with 512 channels.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), decoder study
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg target_only_upernet_mitb5_cityscapes.py
Paper's resources: one GPU, batch 2 images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 78.0 mIoU on Cityscapes val (unconfirmed; docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/upernet_mitb5.py', '../_base_/datasets/target_only_cityscapes.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
