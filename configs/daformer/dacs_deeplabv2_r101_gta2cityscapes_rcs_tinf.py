"""DeepLabV2 on ResNet-101, DACS plus every class equally often (T = infinity), GTA -> Cityscapes.

Paper: DAFormer (Hoyer et al., CVPR 2022; with HRDA in TPAMI 2023), training strategies
    (docs/behavior/daformer_hrda.md#experiments-of-daformer).
Command: mim train mmseg_dg dacs_deeplabv2_r101_gta2cityscapes_rcs_tinf.py
Paper's resources: one GPU, batch 2 source + 2 target images, 40 000 iterations; seeds 0, 1, 2.
Paper's score: not in our sources for this network.
Status here: not yet run at full scale.
"""
_base_ = './dacs_deeplabv2_r101_gta2cityscapes.py'
train_dataloader = dict(
    source=dict(
        sampler=dict(_delete_=True, type='RareClassSampler', temperature=1e6, min_pixels=3000)))  # as good as infinity
