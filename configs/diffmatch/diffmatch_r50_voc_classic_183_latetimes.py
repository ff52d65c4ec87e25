"""DiffMatch on VOC 2012 classic, 183 labelled images, ResNet-50, noise times from 0.2 on.

No row of the paper that we know: with b = 0.1 the lowest fifth of the times gives a nearly free label.
Command: mim train mmseg_dg diffmatch_r50_voc_classic_183_latetimes.py
Paper's resources: as diffmatch_r50_voc_classic_183.py, batch 8 + 8; seeds 0, 1, 2 (ours).
Paper's score: none known.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_classic_183.py'
model = dict(network=dict(time_range=(0.2, 0.999)))
