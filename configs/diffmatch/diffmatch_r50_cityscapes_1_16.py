"""DiffMatch on Cityscapes, 1/16 with labels, ResNet-50.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r50_cityscapes_1_16.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labelled + 8 unlabelled images, crop 801, 240
    epochs of 348 iterations (83 520); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_cityscapes_1_8.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/1_16/labeled.txt')),  # 186 images
    unlabeled=dict(dataset=dict(ann_file='splits/1_16/unlabeled.txt')))  # 2789 images
