"""DiffMatch on VOC 2012 classic, 92 labelled images, ResNet-101.

Paper: DiffMatch (Sun et al., ICLR 2025).
Command: mim train mmseg_dg diffmatch_r101_voc_classic_92.py
Paper's resources: 8 x RTX 3090 24 GB; batch 8 labelled + 8 unlabelled images, crop 513, 80
    epochs of 1311 iterations (104 880); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './diffmatch_r50_voc_classic_92.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
