"""Labelled images alone on VOC 2012 classic, 366 labelled images, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_voc_classic_366.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 513, 80 epochs of 1277 iterations (102 160);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_voc_classic_183.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/classic_1_4/labeled.txt')))  # 366 images
train_cfg = dict(max_iters=102160, val_interval=1277)  # 80 x 1277, as the others
