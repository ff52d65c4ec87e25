"""Labelled images alone on Cityscapes, 1/4 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_cityscapes_1_4.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 801, 240 epochs of 278 iterations (66 720);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 73.1 mIoU on Cityscapes val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_cityscapes_1_8.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_4/labeled.txt')))  # 744 images
train_cfg = dict(max_iters=66720, val_interval=278)  # 240 x 278, as the others
