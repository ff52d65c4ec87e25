"""FixMatch on Cityscapes, 1/8 with labels, ResNet-101.

Paper: FixMatch (Sohn et al., NeurIPS 2020) as the baseline of UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg fixmatch_r101_cityscapes_1_8.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 801, 240 epochs of 325 iterations
    (78 000); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 76.2 mIoU on Cityscapes val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './fixmatch_r50_cityscapes_1_8.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
