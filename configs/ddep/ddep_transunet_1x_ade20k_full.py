"""TransUNet of width 1 with a denoised decoder on ADE20K, all labels.

Paper: DDeP (Brempong et al., TMLR 2022), ADE20K.
Command: mim train mmseg_dg ddep_transunet_1x_ade20k_full.py
Paper's resources: TPU-v4; not said for finetuning; batch 16 images, crop 512, 80 000 iterations (ours); seeds 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9. Time and memory here have not been measured.
Paper's score: not in our sources (no table of the paper could be recovered).
Status here: not yet run at full scale.
"""
_base_ = [
    '../_base_/models/transunet.py', '../_base_/datasets/supervised_ade20k.py',
    '../_base_/schedules/adam_cosine_80k.py', '../_base_/default_runtime.py'
]
model = dict(
    stream='labeled',
    init_cfg=dict(type='PretrainedDenoiser', checkpoint='denoisers/transunet_1x.pth'),  # made by pretraining
    network=dict(decode_head=dict(num_classes=150)))
# test.py --tta: six scales with flip, unconfirmed (docs/behavior/ddep.md#confirmed-inferred-unconfirmed)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0., 1.)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
study = dict(seeds=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])  # paper: mean of 10 runs
