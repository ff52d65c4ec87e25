"""TransUNet of width 1 with a denoised decoder on Cityscapes, 1/30 of the labels, random scale.

No row of the paper: its settings list crop and flip only.
Command: mim train mmseg_dg ddep_transunet_1x_cityscapes_1_30_jitter.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 20 000 iterations (ours); 10 runs
    with different subsets, seeds 0. Time and memory here have not been measured.
Paper's score: none.
Status here: not yet run at full scale.
"""
_base_ = './ddep_transunet_1x_cityscapes_1_30.py'
train_dataloader = dict(
    labeled=dict(
        dataset=dict(
            pipeline=[
                *_base_.train_dataloader.labeled.dataset.pipeline[:2],
                dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
                dict(type='Pad', size=(1024, 1024), pad_val=dict(img=0, seg=255)),  # shrunken images are smaller
                *_base_.train_dataloader.labeled.dataset.pipeline[2:],
            ])))
