"""DiffMatch on VOC 2012 blender (u2pl lists), 1/4 with labels, ResNet-50.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r50_voc_blender_u2pl_1_4.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labelled + 8 unlabelled images, crop 513, 80
    epochs of 992 iterations (79 360); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_blender_1_8.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/u2pl_1_4/labeled.txt')),  # 2646 images
    unlabeled=dict(dataset=dict(ann_file='splits/u2pl_1_4/unlabeled.txt')))  # 7936 images
