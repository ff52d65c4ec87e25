"""FixMatch on VOC 2012 classic, 1464 labelled images, ResNet-101.

Paper: FixMatch (Sohn et al., NeurIPS 2020) as the baseline of UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg fixmatch_r101_voc_classic_1464.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 80 epochs of 1139 iterations
    (91 120); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './fixmatch_r50_voc_classic_1464.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
