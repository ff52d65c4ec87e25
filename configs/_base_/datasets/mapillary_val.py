"""Mapillary Vistas 1.2 validation merged to 19 classes: 2000 images of up to 20 megapixels."""
val_dataloader = dict(
    mapillary=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='MapillaryTrainIdDataset',
            raw_ids=True,  # the published 66 ids; False: converted *_labelTrainIds.png
            data_root='data/mapillary',
            data_prefix=dict(img_path='validation/images', seg_map_path='validation/labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                # e.g. 1365x1024 (docs/behavior/daformer_hrda.md#domain-generalization)
                dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
                dict(type='LoadAnnotations'),  # after Resize: scores are taken at the full size of the label
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
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
