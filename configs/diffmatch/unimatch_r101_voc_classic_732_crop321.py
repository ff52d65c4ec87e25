"""UniMatch at crop 321 on VOC 2012 classic, 732 labelled images, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_voc_classic_732_crop321.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 321, 80 epochs of 1231 iterations
    (98 480); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 79.9 (UniMatch's README) mIoU on VOC val, best epoch.
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_classic_732_crop321.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
