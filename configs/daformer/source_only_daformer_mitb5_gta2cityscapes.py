"""Lower control of GTA -> Cityscapes: the DAFormer network on source labels only.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), network study.
Command: mim train mmseg_dg source_only_daformer_mitb5_gta2cityscapes.py
Paper's resources: one GPU, batch 2 source images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources for this network.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/daformer_mitb5.py', '../_base_/datasets/source_only_gta_to_cityscapes.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
