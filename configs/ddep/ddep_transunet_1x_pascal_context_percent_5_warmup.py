"""TransUNet of width 1 with a denoised decoder on Pascal Context, 5 % of the labels, warm-up.

No row of the paper: its settings list no warm-up.
Command: mim train mmseg_dg ddep_transunet_1x_pascal_context_percent_5_warmup.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_pascal_context_percent_5.py'
param_scheduler = [dict(type='WarmupCosineLR', warmup_iters=1000, warmup_ratio=1e-6, min_lr=0.)]
