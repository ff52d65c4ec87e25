"""Domain generalization with DINOv2-L, GTA -> Cityscapes, BDD100K, Mapillary: a linear probe.

Paper: SoMA (Yun et al., CVPR 2025) and the baselines of its tables: its own head: no row of the papers' tables.
Command: mim train mmseg_dg dg_linear_dinov2_large_gta.py
Paper's resources: one GPU, batch 4 source images, crop 512, 40 000 iterations; seeds 0, 1, 2 (ours).
Paper's score: not in our sources for this head;
    the checkpoint with the best mean **on the targets** (docs/behavior/mic.md#domain-generalization).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/dinov2_large_linear.py', '../_base_/datasets/dg_gta_vfm.py',
    '../_base_/schedules/adamw_40k_vfm_dg.py', '../_base_/protocols/dg_gta_vfm.py'
]
model = dict(
    network=dict(
        backbone=dict(trainable='none', resize='multiple'),  # windows that a small image cuts short
        decode_head=dict(loss_decode=dict(avg_non_ignore=True)),
        test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341))))
val_cfg = dict(protocols=_base_.pop('protocols'))
test_cfg = dict(protocols=val_cfg['protocols'])
