"""DiffMatch on COCO, 1/128 with labels, ResNet-101.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r101_coco_1_128.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labelled + 8 unlabelled images, crop 513, 30
    epochs of 14670 iterations (440 100); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_coco_1_128.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
