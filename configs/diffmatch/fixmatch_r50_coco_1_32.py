"""FixMatch on COCO, 1/32 with labels, ResNet-50.

Paper: FixMatch (Sohn et al., NeurIPS 2020) as the baseline of UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg fixmatch_r50_coco_1_32.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 30 epochs of 14323
    iterations (429 690); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './fixmatch_r50_coco_1_128.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/1_32/labeled.txt')),  # 3697 images
    unlabeled=dict(dataset=dict(ann_file='splits/1_32/unlabeled.txt')),  # 114 590 images
    unlabeled_mix=dict(dataset=dict(ann_file='splits/1_32/unlabeled.txt')))
