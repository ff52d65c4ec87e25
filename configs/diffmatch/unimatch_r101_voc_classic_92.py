"""UniMatch on VOC 2012 classic, 92 labelled images, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_voc_classic_92.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 80 epochs of 1311 iterations
    (104 880); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources at crop 513; 75.2 mIoU on VOC val at crop 321.
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_classic_92.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
