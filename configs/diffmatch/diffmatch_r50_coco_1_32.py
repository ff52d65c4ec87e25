"""DiffMatch on COCO, 1/32 with labels, ResNet-50.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r50_coco_1_32.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labelled + 8 unlabelled images, crop 513, 30
    epochs of 14323 iterations (429 690); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_coco_1_128.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/1_32/labeled.txt')),  # 3697 images
    unlabeled=dict(dataset=dict(ann_file='splits/1_32/unlabeled.txt')))  # 114 590 images
