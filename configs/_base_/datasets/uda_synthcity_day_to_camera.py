"""The built-in city by day with labels -> seen by a camera, without; images are rendered on first use."""
_base_ = './synthcity_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        # 3000 of the 1914x1052 pixels of a GTA image (docs/behavior/daformer_hrda.md#rare-class-sampling) are 49 of
        # 256x128
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=50),
        dataset=dict(
            type='SynthCityDataset',
            domain='day',
            num_images=200,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # 1500 pixels of a 512 crop (docs/behavior/daformer_hrda.md#rare-class-sampling) are 94 of a 128 crop
                dict(type='RareClassCrop', crop_size=(128, 128), cat_max_ratio=0.75, min_crop_pixels=94),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    target=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=500,  # other streets than those of the source
            num_images=200,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=(128, 128)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
