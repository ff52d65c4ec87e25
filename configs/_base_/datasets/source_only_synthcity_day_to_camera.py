"""The built-in city by day with labels, nothing of the target."""
_base_ = './synthcity_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        # the sampling and the crops of the adapted run: the control differs from it in nothing but the target
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=50),
        dataset=dict(
            type='SynthCityDataset',
            domain='day',
            num_images=200,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RareClassCrop', crop_size=(128, 128), cat_max_ratio=0.75, min_crop_pixels=94),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
