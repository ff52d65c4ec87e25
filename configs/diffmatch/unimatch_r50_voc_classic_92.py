"""UniMatch on VOC 2012 classic, 92 labelled images, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r50_voc_classic_92.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 80 epochs of 1311 iterations
    (104 880); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: not in our sources at crop 513; 71.90 mIoU on VOC val at crop 321.
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_classic_183.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/classic_1_16/labeled.txt')),  # 92 images
    unlabeled=dict(dataset=dict(ann_file='splits/classic_1_16/unlabeled.txt')),  # 10 490 images
    unlabeled_mix=dict(dataset=dict(ann_file='splits/classic_1_16/unlabeled.txt')))
