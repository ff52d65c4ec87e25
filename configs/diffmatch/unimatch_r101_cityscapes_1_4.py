"""UniMatch on Cityscapes, 1/4 with labels, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_cityscapes_1_4.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 801, 240 epochs of 278 iterations
    (66 720); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 79.2 mIoU on Cityscapes val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_cityscapes_1_4.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
