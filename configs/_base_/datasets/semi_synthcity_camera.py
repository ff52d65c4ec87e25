"""The built-in city seen by a camera: 25 images with labels, 175 without, on streets of their own.

A method with CutMix also reads ``unlabeled_mix``: ``train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.
unlabeled)``.
"""
_base_ = './synthcity_val.py'
_view = [
    dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
    dict(type='Pad', size=(128, 128), pad_val=dict(img=0, seg=255)),
    dict(type='RandomCrop', crop_size=(128, 128)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackStreamInputs'),
]
train_dataloader = dict(
    labeled=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=500,
            num_images=25,
            size=(256, 128),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), *_view])),
    unlabeled=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=525,
            num_images=175,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                *_view,
            ])))
del _view
