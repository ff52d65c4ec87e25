"""UniMatch at crop 321 on VOC 2012 blender, 1/16 with labels, ResNet-101.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r101_voc_blender_1_16_crop321.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 321, 80 epochs of 1240 iterations
    (99 200); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 76.91 76.98 77.15 (UniMatch's logs, three runs) mIoU on VOC val, best epoch.
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r101_voc_blender_1_8_crop321.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/blender_1_16/labeled.txt')),  # 662 images
    unlabeled=dict(dataset=dict(ann_file='splits/blender_1_16/unlabeled.txt')),  # 9920 images
    unlabeled_mix=dict(dataset=dict(ann_file='splits/blender_1_16/unlabeled.txt')))
