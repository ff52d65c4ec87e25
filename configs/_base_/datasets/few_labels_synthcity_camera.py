"""The built-in city seen by a camera: ten images with labels, 190 without.

A method with CutMix also reads ``unlabeled_mix``: ``train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.
unlabeled)``.
"""
_base_ = './synthcity_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=500,  # the first ten of the images that adaptation sees without labels
            num_images=10,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    unlabeled=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=510,
            num_images=190,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # no image is padded: everything counts
                dict(type='RandomCrop', crop_size=(128, 128)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
