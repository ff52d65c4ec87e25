"""UniMatch on COCO, 1/32 with labels, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_coco_1_32.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 30 epochs of 14323
    iterations (429 690); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources for this network; 49.8 mIoU on COCO val with Xception-65.
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_coco_1_32.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
