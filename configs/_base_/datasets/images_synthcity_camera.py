"""The built-in city seen by a camera, images alone: denoising pretraining, judged on other streets."""
train_dataloader = dict(
    images=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=500,
            num_images=200,
            size=(256, 128),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=(128, 128)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    camera=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=1000,
            num_images=20,
            size=(256, 128),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])))
val_evaluator = dict(type='DenoisingMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
