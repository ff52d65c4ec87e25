"""UniMatch on VOC 2012 blender, 1/4 with labels, ResNet-50.

Paper: UniMatch (Yang et al., CVPR 2023).
Command: mim train mmseg_dg unimatch_r50_voc_blender_1_4.py
Paper's resources: UniMatch: 4 GPUs; batch 8 labelled + 8 unlabelled images, crop 513, 80 epochs of 992 iterations
    (79 360); seeds 0, 1, 2 (ours). Time and memory here have not been measured.
Paper's score: 76.8 mIoU on VOC val (best epoch; as the tables of later papers of the group give it).
Status here: not yet run at full scale.
"""
_base_ = './unimatch_r50_voc_blender_1_8.py'
train_dataloader = dict(
    labeled=dict(dataset=dict(ann_file='splits/blender_1_4/labeled.txt')),  # 2646 images
    unlabeled=dict(dataset=dict(ann_file='splits/blender_1_4/unlabeled.txt')),  # 7936 images
    unlabeled_mix=dict(dataset=dict(ann_file='splits/blender_1_4/unlabeled.txt')))
