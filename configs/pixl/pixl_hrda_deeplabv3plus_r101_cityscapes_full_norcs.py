"""PiXL on HRDA with ResNet-101 and DeepLabV3+, Cityscapes with all labels, with images drawn uniformly.

Paper: none known: our ablation of PiXL, a point its sources leave open.
Command: mim train mmseg_dg pixl_hrda_deeplabv3plus_r101_cityscapes_full_norcs.py
Paper's resources: as pixl_hrda_deeplabv3plus_r101_cityscapes_full.py, batch 2 images,
    60 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources.
Status here: not yet run at full scale.
"""
_base_ = './pixl_hrda_deeplabv3plus_r101_cityscapes_full.py'
train_dataloader = dict(source=dict(sampler=dict(_delete_=True, type='StatefulInfiniteSampler', shuffle=True)))
