"""Labelled images alone on COCO, 1/64 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023), rows without unlabelled images.
Command: mim train mmseg_dg supervised_only_r50_coco_1_64.py
Paper's resources: UniMatch: 4 GPUs; batch 16 labelled images, crop 513, 30 epochs of 14554 iterations (436 620);
    seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources for this network; 37.8 mIoU on COCO val with Xception-65.
Status here: not yet run at full scale.
"""
_base_ = './supervised_only_r50_coco_1_128.py'
train_dataloader = dict(labeled=dict(dataset=dict(ann_file='splits/1_64/labeled.txt')))  # 1849 images
train_cfg = dict(max_iters=436620, val_interval=14554)  # 30 x 14554, as the others
