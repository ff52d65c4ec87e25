"""SegFormer on MiT-B5 on Cityscapes labels without learning-rate warm-up.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), warm-up ablation
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg target_only_segformer_mitb5_cityscapes_nowarmup.py
Paper's resources: one GPU, batch 2 images, 40 000 iterations; seeds 0.
Paper's score: 72.9 mIoU on Cityscapes val (unconfirmed; docs/behavior/daformer_hrda.md#confirmed-and-unconfirmed).
As in the official run, the encoder's rate rises from 6e-5 to 1e-4
(docs/behavior/daformer_hrda.md#optimizer-and-schedule, poly10).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/segformer_mitb5.py', '../_base_/datasets/target_only_cityscapes.py',
    '../_base_/schedules/adamw_40k_nowarmup.py', '../_base_/default_runtime.py'
]
study = dict(seeds=[0])  # docs/behavior/daformer_hrda.md#experiments-of-daformer
