"""TransUNet of width 2 with a random decoder on Cityscapes, all labels.

Paper: DDeP (Brempong et al., TMLR 2022), Cityscapes, supervised encoder and random decoder.
Command: mim train mmseg_dg random_decoder_transunet_2x_cityscapes_full.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 40 000 iterations (ours); seeds 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_2x_cityscapes_full.py'
model = dict(init_cfg=None)
