"""Labelled images alone on VOC 2012 classic, 92 labelled images, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_voc_classic_92.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 513, 80 epochs of 1311 iterations (104 880);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_voc_classic_183.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/classic_1_16/labeled.txt')))  # 92 images
train_cfg = dict(max_iters=104880, val_interval=1311)  # 80 x 1311, as the others
