"""Labelled images alone on VOC 2012 blender (u2pl lists), 1/4 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_voc_blender_u2pl_1_4.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 513, 80 epochs of 992 iterations (79 360);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_voc_blender_1_8.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/u2pl_1_4/labeled.txt')))  # 2646 images
train_cfg = dict(max_iters=79360, val_interval=992)  # 80 x 992, as the others
