"""TransUNet of width 3 with a denoised decoder on Pascal Context (59 classes), all labels.

Paper: DDeP (Brempong et al., TMLR 2022), Pascal Context.
Command: mim train mmseg_dg ddep_transunet_3x_pascal_context_full.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 40 000 iterations (ours); seeds 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_pascal_context_full.py'
model = dict(
    init_cfg=dict(checkpoint='denoisers/transunet_3x.pth'),
    network=dict(decode_head=dict(width_multiplier=3)))
