"""TransUNet of width 1 with a denoised decoder on Cityscapes, all labels.

Paper: DDeP (Brempong et al., TMLR 2022), Cityscapes.
Command: mim train mmseg_dg ddep_transunet_1x_cityscapes_full.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 1024, 40 000 iterations (ours); seeds 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/transunet.py', '../_base_/datasets/supervised_cityscapes.py',
    '../_base_/schedules/adam_cosine_40k.py', '../_base_/default_runtime.py'
]
model = dict(
    stream='labeled',
    init_cfg=dict(type='PretrainedDenoiser', checkpoint='denoisers/transunet_1x.pth'),  # made by pretraining
    network=dict(
        decode_head=dict(num_classes=19),
        # unconfirmed (docs/behavior/ddep.md#confirmed-inferred-unconfirmed): two halves of the image; with --tta each
        # is flipped as well
        test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(1024, 1024))))
# test.py --tta: each half also flipped, unconfirmed (docs/behavior/ddep.md#confirmed-inferred-unconfirmed)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (1.0,)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0., 1.)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
study = dict(seeds=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])  # paper: mean of 10 runs
