"""U-Net decoder on ResNet-50 with a random decoder on Cityscapes, 1/30 of the labels.

No row of the paper: it shows TransUNet.
Command: mim train mmseg_dg random_decoder_unet_r50_cityscapes_1_30.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_unet_r50_cityscapes_1_30.py'
model = dict(init_cfg=None)
