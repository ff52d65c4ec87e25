"""Labelled images alone on COCO, 1/32 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_coco_1_32.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 513, 30 epochs of 14323 iterations (429 690);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources for this network; 42.2 mIoU on COCO val with Xception-65.
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_coco_1_128.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_32/labeled.txt')))  # 3697 images
train_cfg = dict(max_iters=429690, val_interval=14323)  # 30 x 14323, as the others
