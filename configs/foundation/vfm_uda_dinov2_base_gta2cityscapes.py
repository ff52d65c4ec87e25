"""VFM-UDA on DINOv2-B, GTA -> Cityscapes: self-training with mirrored pseudo-labels and masked tokens.

Paper: VFM-UDA (Englert et al., CVPR Workshops 2024), main table.
Command: mim train mmseg_dg vfm_uda_dinov2_base_gta2cityscapes.py
Paper's resources: hardware not in our sources; batch 8 source + 8 target images, crop 1024, 40 000 iterations;
    seeds 0, 1, 2 (ours). Control: source_only_dinov2_base_gta2cityscapes.py.
Paper's score: 77.1 mIoU on Cityscapes val (docs/behavior/mic.md#scores); whether the best or the last checkpoint is
    not in our sources.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_base_upscale.py', '../_base_/methods/vfm_uda.py',
    '../_base_/datasets/uda_gta_to_cityscapes_vfm.py', '../_base_/schedules/adamw_40k_vfm.py',
    '../_base_/default_runtime.py'
]
model = _base_.pop('method')  # trains the network of the model file by self-training
