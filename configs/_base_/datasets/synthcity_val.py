"""The built-in city: the target domain ``camera`` and the unseen domain ``night``, all 19 classes."""
val_dataloader = dict(
    camera=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthCityDataset',
            domain='camera',
            start=1000,  # other streets than those of the training images
            num_images=80,
            size=(256, 128),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
    night=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthCityDataset',
            domain='night',
            start=1000,  # other streets than those of the training images
            num_images=80,
            size=(256, 128),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])))
val_evaluator = dict(type='ConfusionMatrixMetric')
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
tta_pipeline = [  # test.py --tta: 0.75, 1 and 1.25 times the size, each also flipped
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=0.75, keep_ratio=True),
                dict(type='Resize', scale_factor=1.0, keep_ratio=True),
                dict(type='Resize', scale_factor=1.25, keep_ratio=True),
            ],
            [
                dict(type='RandomFlip', prob=0., direction='horizontal'),
                dict(type='RandomFlip', prob=1., direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
