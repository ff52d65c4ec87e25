"""FixMatch on VOC 2012 classic, 183 labelled images, ResNet-50, without CutMix.

No row of the paper that we know: what CutMix is worth, beside DiffMatch, which has none.
Command: mim train mmseg_dg fixmatch_r50_voc_classic_183_nocutmix.py
Paper's resources: as fixmatch_r50_voc_classic_183.py, batch 8 + 8; seeds 0, 1, 2 (ours).
Paper's score: none known.
Status here: not yet run at full scale.
"""
_base_ = './fixmatch_r50_voc_classic_183.py'
model = dict(cutmix=None)
_base_.train_dataloader.pop('unlabeled_mix')
