"""DiffMatch on VOC 2012 classic, 183 labelled images, ResNet-50, a noisy code that enters as an estimate.

No row of the paper that we know: one reconstructed choice changed. What it is worth: docs/benchmarks/few_labels.md.
Command: mim train mmseg_dg diffmatch_r50_voc_classic_183_estimate.py
Paper's resources: as diffmatch_r50_voc_classic_183.py, batch 8 + 8; seeds 0, 1, 2 (ours).
Paper's score: none known.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_classic_183.py'
model = dict(network=dict(denoiser=dict(code_input='estimate')))
