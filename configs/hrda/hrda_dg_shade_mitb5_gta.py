"""HRDA for domain generalization with SHADE style hallucination, GTA -> unseen Cityscapes, BDD100K, Mapillary.

Paper: DAFormer and HRDA (Hoyer et al., TPAMI 2023), domain generalization
    (docs/behavior/daformer_hrda.md#domain-generalization).
Command: mim train mmseg_dg hrda_dg_shade_mitb5_gta.py
Paper's resources: one 24 GB GPU, batch 2 source images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: 57.41 mIoU on Cityscapes, 49.11 on BDD100K, 61.16 on Mapillary, 55.90 on average
    (docs/behavior/daformer_hrda.md#published-generalization-scores).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_mitb5.py', '../_base_/methods/dg_shade.py', '../_base_/datasets/dg_gta_rcs_hr.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
# the stylized copies would not fit 24 GB with 512 (docs/behavior/daformer_hrda.md#domain-generalization)
model['network']['hr_crop_size'] = (384, 384)
