"""DiffMatch on VOC 2012 classic, 183 labelled images, ResNet-50, a teacher that samples in one step.

No row of the paper that we know: one reconstructed choice changed.
Command: mim train mmseg_dg diffmatch_r50_voc_classic_183_teacher1.py
Paper's resources: as diffmatch_r50_voc_classic_183.py, batch 8 + 8; seeds 0, 1, 2 (ours).
Paper's score: none known.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_classic_183.py'
model = dict(teacher_steps=1)
