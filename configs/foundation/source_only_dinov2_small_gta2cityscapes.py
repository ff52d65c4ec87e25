"""Lower control of the small VFM-UDA recipe: DINOv2-S on source labels only, the same source images and steps.

Paper: No row of the papers (ours).
Command: mim train mmseg_dg source_only_dinov2_small_gta2cityscapes.py
Resources: one GPU, batch 2 source images, 40 000 iterations; seeds 0, 1, 2. Time and memory here have not been
    measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_small_upscale.py', '../_base_/datasets/uda_gta_to_cityscapes.py',
    '../_base_/schedules/adamw_40k_vfm.py', '../_base_/default_runtime.py'
]
_base_.train_dataloader.pop('target')
optim_wrapper = dict(optimizer=dict(lr=7.07e-5))  # 5e-5 * 2**0.5
auto_scale_lr = dict(base_batch_size=2)
