"""SYNTHIA as a domain to be judged on: all 9400 images, it has no official split; 16 of 19 classes occur."""
val_dataloader = dict(
    synthia=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthiaDataset',
            raw_ids=True,  # the published 16-bit labels
            data_root='data/synthia',
            data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadSynthiaAnnotations'),
                dict(type='PackSegInputs'),
            ])))
val_evaluator = dict(type='ConfusionMatrixMetric')
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
tta_pipeline = [  # test.py --tta, not used by the paper: 0.75, 1 and 1.25 times the size, each also flipped
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
            [dict(type='LoadSynthiaAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
