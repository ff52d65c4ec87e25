"""Labelled images alone on Cityscapes, 1/16 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_cityscapes_1_16.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 801, 240 epochs of 348 iterations (83 520);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 63.3 mIoU on Cityscapes val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_cityscapes_1_8.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_16/labeled.txt')))  # 186 images
train_cfg = dict(max_iters=83520, val_interval=348)  # 240 x 348, as the others
