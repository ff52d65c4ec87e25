"""PiXL on HRDA MiT-B5, GTA -> Cityscapes, the graphs of both passes at once.

Paper: none known: our ablation of PiXL, a point its sources leave open.
Command: mim train mmseg_dg pixl_hrda_mitb5_gta2cityscapes_joint.py
Paper's resources: as pixl_hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images,
    60 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './pixl_hrda_mitb5_gta2cityscapes.py'
model = dict(alignment=dict(pair='joint'))
