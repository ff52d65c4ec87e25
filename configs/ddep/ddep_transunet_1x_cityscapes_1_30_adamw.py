"""TransUNet of width 1 with a denoised decoder on Cityscapes, 1/30 of the labels, AdamW.

No row of the paper: its settings list Adam; its L2 decay and decoupled decay of this size differ.
Command: mim train mmseg_dg ddep_transunet_1x_cityscapes_1_30_adamw.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_cityscapes_1_30.py'
optim_wrapper = dict(optimizer=dict(type='AdamW'))
