"""UniMatch on VOC 2012 blender, 1/8 with labels, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_voc_blender_1_8.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 80 epochs of 1157 iterations
    (92 560); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 78.4 mIoU on VOC val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_blender_1_8.py'
model = dict(network=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_deepstem.pth'))))
