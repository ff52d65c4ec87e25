"""TransUNet of width 1 with a random decoder on Pascal Context, 5 % of the labels, random scale.

No row of the paper: its settings list crop and flip only.
Command: mim train mmseg_dg random_decoder_transunet_1x_pascal_context_percent_5_jitter.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_pascal_context_percent_5_jitter.py'
model = dict(init_cfg=None)
