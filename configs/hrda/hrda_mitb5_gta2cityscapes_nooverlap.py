"""HRDA, GTA -> Cityscapes, with detail windows that do not overlap.

No row of the paper: one part of the full method changed.
Command: mim train mmseg_dg hrda_mitb5_gta2cityscapes_nooverlap.py
Paper's resources: as hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './hrda_mitb5_gta2cityscapes.py'
model = dict(network=dict(hr_slide_overlapping=False))
