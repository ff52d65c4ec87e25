"""The built-in city by day with labels, nothing of the target."""
_base_ = './synthcity_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='day',
            num_images=64,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
