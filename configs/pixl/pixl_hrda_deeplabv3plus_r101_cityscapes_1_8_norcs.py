"""PiXL on HRDA with ResNet-101 and DeepLabV3+, Cityscapes with 1/8 of the labels, with images drawn uniformly.

Paper: none known: our ablation of PiXL, a point its sources leave open.
Command: mim train mmseg_dg pixl_hrda_deeplabv3plus_r101_cityscapes_1_8_norcs.py
Paper's resources: as pixl_hrda_deeplabv3plus_r101_cityscapes_1_8.py, batch 2 labelled + 2 unlabelled images,
    60 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './pixl_hrda_deeplabv3plus_r101_cityscapes_1_8.py'
train_dataloader = dict(labeled=dict(sampler=dict(_delete_=True, type='StatefulInfiniteSampler', shuffle=True)))
