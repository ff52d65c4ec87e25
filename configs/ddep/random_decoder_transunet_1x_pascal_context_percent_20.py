"""TransUNet of width 1 with a random decoder on Pascal Context (59 classes), 20 % of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), Pascal Context, supervised encoder and random decoder.
Command: mim train mmseg_dg random_decoder_transunet_1x_pascal_context_percent_20.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 5 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_pascal_context_percent_20.py'
model = dict(init_cfg=None)
