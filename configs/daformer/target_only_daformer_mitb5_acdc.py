"""Upper control (oracle) of Cityscapes -> ACDC: the DAFormer network on ACDC labels.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), controls.
Command: mim train mmseg_dg target_only_daformer_mitb5_acdc.py
Paper's resources: one GPU, batch 2 images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/datasets/target_only_acdc.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
