"""DeepLabV2 on ResNeSt-101, GTA -> Cityscapes on source labels only.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), table of encoder sizes
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg source_only_deeplabv2_s101_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source images, 40 000 iterations; seeds 0.
Paper's score: 25.5 mIoU on Cityscapes val (unconfirmed; docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/deeplabv2_s101.py', '../_base_/datasets/source_only_gta_to_cityscapes.py',
    '../_base_/schedules/adamw_40k_cnn.py', '../_base_/default_runtime.py'
]
study = dict(seeds=[0])  # docs/behavior/daformer_hrda.md#experiments-of-daformer
