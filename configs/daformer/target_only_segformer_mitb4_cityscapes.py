"""SegFormer on MiT-B4 on Cityscapes labels (oracle).

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), table of encoder sizes
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg target_only_segformer_mitb4_cityscapes.py
Paper's resources: one GPU, batch 2 images, 40 000 iterations; seeds 0.
Paper's score: 77.1 mIoU on Cityscapes val (unconfirmed; docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/segformer_mitb4.py', '../_base_/datasets/target_only_cityscapes.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
study = dict(seeds=[0])  # docs/behavior/daformer_hrda.md#experiments-of-daformer
