"""Lower control of VFM-UDA on DINOv2-B: the same network, source images and steps, nothing of the target.

Paper: VFM-UDA (Englert et al., CVPR Workshops 2024), source-only control.
Command: mim train mmseg_dg source_only_dinov2_base_gta2cityscapes.py
Paper's resources: batch 8 source images, crop 1024, 40 000 iterations; seeds 0, 1, 2 (ours).
Paper's score: not in our sources. A later paper of the group: with better synthetic data than GTA, adaptation adds
    2 mIoU instead of 8, with diverse real sources nothing (docs/behavior/mic.md#scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_upscale.py', '../_base_/datasets/uda_gta_to_cityscapes_vfm.py',
    '../_base_/schedules/adamw_40k_vfm.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('target')
