"""DiffMatch on VOC 2012 classic, 183 labelled images, ResNet-50, with CutMix.

No row of the paper that we know: CutMix is not in the paper's list, but in every parent code.
Command: mim train mmseg_dg diffmatch_r50_voc_classic_183_cutmix.py
Paper's resources: as diffmatch_r50_voc_classic_183.py, batch 8 + 8; seeds 0, 1, 2 (ours).
Paper's score: none known.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_classic_183.py'
model = dict(cutmix=dict(_delete_=True, probability=0.5))
train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.unlabeled)  # what is pasted, drawn by itself
