"""UniMatch on Cityscapes, 1/2 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r50_cityscapes_1_2.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 801, 240 epochs of 185 iterations
    (44 400); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 78.6 mIoU on Cityscapes val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_cityscapes_1_8.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/1_2/labeled.txt')),  # 1488 images
    unlabeled=dict(dataset=dict(ann_file='splits/1_2/unlabeled.txt')),  # 1487 images
    unlabeled_mix=dict(dataset=dict(ann_file='splits/1_2/unlabeled.txt')))
