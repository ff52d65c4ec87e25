"""TransUNet of width 1 with a random decoder on ADE20K, all labels.

Paper: DDeP (Brempong et al., TMLR 2022), ADE20K, supervised encoder and random decoder.
Command: mim train mmseg_dg random_decoder_transunet_1x_ade20k_full.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 80 000 iterations (ours); seeds 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_ade20k_full.py'
model = dict(init_cfg=None)
