"""UniMatch on VOC 2012 blender (u2pl lists), 1/4 with labels, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_voc_blender_u2pl_1_4.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 80 epochs of 992 iterations
    (79 360); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 80.43 mIoU on VOC val (UniMatch's log, best epoch).
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_blender_u2pl_1_4.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
