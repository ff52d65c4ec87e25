"""DiffMatch on VOC 2012 classic, 183 labelled images, ResNet-50, a denoiser that adds to the plain classifier.

No row of the paper that we know: one reconstructed choice changed. What it is worth: docs/benchmarks/few_labels.md.
Command: mim train mmseg_dg diffmatch_r50_voc_classic_183_residual.py
Paper's resources: as diffmatch_r50_voc_classic_183.py, batch 8 + 8; seeds 0, 1, 2 (ours).
Paper's score: none known.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_classic_183.py'
model = dict(network=dict(residual=True))
