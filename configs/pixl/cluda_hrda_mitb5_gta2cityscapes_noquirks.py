"""HRDA with the pixel contrast of CLUDA, GTA -> Cityscapes, without two side effects of its code.

Paper: CLUDA (Vayyat et al., arXiv 2208.14227), our ablation of items 5 and 6.
Command: mim train mmseg_dg cluda_hrda_mitb5_gta2cityscapes_noquirks.py
Paper's resources: as cluda_hrda_mitb5_gta2cityscapes.py, batch 2 source + 2 target images,
    40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './cluda_hrda_mitb5_gta2cityscapes.py'
model = dict(alignment=dict(first_class_outside=False, keep_ignored=False))
