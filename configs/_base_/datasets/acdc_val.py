"""ACDC val (fog, rain, snow, night; 406 images), predicted at half resolution
(docs/behavior/daformer_hrda.md#data-pipelines); the paper scores test."""
val_dataloader = dict(
    acdc=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='ACDCDataset',
            data_root='data/acdc',
            data_prefix=dict(img_path='rgb_anon/val', seg_map_path='gt/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                # test scale (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='Resize', scale=(960, 540), keep_ratio=True),
                dict(type='LoadAnnotations'),  # after Resize: scores are taken at the full size of the label
                dict(type='PackSegInputs'),
            ])))
val_evaluator = dict(type='ConfusionMatrixMetric')
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
tta_pipeline = [  # test.py --tta, not used by the paper: 0.75, 1 and 1.25 times the test scale, each also flipped
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=0.375, keep_ratio=True),
                dict(type='Resize', scale_factor=0.5, keep_ratio=True),
                dict(type='Resize', scale_factor=0.625, keep_ratio=True),
            ],
            [
                dict(type='RandomFlip', prob=0., direction='horizontal'),
                dict(type='RandomFlip', prob=1., direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
