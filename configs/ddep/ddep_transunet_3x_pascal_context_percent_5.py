"""TransUNet of width 3 with a denoised decoder on Pascal Context (59 classes), 5 % of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), Pascal Context.
Command: mim train mmseg_dg ddep_transunet_3x_pascal_context_percent_5.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_pascal_context_percent_5.py'
model = dict(
    init_cfg=dict(checkpoint='denoisers/transunet_3x.pth'),
    network=dict(decode_head=dict(width_multiplier=3)))
