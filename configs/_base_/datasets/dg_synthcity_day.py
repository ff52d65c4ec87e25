"""The built-in city by day with labels -> unseen: camera, night, fog, rain. DeFT's augmentation at crop 128."""
_base_ = './synthcity_dg_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='day',
            num_images=400,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), interpolation='bicubic'),  # of 256x128
                dict(type='CentroidCrop', crop_size=(128, 128)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.5),
                dict(type='RandomGaussianBlur', sigma=(0.15, 1.3)),
                dict(type='PackStreamInputs'),
            ])))
