"""HRDA for domain generalization, GTA -> unseen Cityscapes, BDD100K and Mapillary, without style hallucination.

Paper: DAFormer and HRDA (Hoyer et al., TPAMI 2023), domain generalization.
Command: mim train mmseg_dg hrda_dg_mitb5_gta.py
Paper's resources: one 24 GB GPU, batch 2 source images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources without style hallucination.
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/hrda_mitb5.py', '../_base_/methods/dg.py', '../_base_/datasets/dg_gta_rcs_hr.py',
    '../_base_/schedules/adamw_40k.py', '../_base_/default_runtime.py'
]
model = _base_.pop('method')
