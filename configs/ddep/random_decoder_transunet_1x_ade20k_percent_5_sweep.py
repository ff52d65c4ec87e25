"""Sweep of rate and decay: TransUNet with a random decoder on ADE20K, 5 % of the labels.

Paper: DDeP (Brempong et al., TMLR 2022), choice of learning rate and weight decay per task.
Command: mim train mmseg_dg random_decoder_transunet_1x_ade20k_percent_5_sweep.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 16 runs,
    seeds 0 (ours). Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_ade20k_percent_5_sweep.py'
model = dict(init_cfg=None)
