"""DAFormer, GTA -> Cityscapes, without feature distance.

No row of the paper: one part of the full method changed.
Command: mim train mmseg_dg daformer_mitb5_gta2cityscapes_nofd.py
Paper's resources: as daformer_mitb5_gta2cityscapes.py, batch 2 source + 2 target images, 40 000 iterations; seeds 0,
    1, 2.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './daformer_mitb5_gta2cityscapes.py'
model = dict(feature_distance=None)
