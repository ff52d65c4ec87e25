"""Validation on real driving video: CamVid by day (seen sequence) and at dusk (unseen), scored on 11 classes.

Networks predict the 19 Cityscapes classes; ``label_map`` (``trainid_to_11`` of the data's classes.json) sends both
predictions and labels to the 11 classes CamVid tells apart.
"""
val_dataloader = dict(
    camvid_day=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
    camvid_dusk=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_dusk',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])))
val_evaluator = dict(
    type='ConfusionMatrixMetric',
    label_map=[3, 4, 1, 7, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10],  # trainid_to_11 of data/classes.json
    scored_classes=[
        'sky', 'building', 'pole', 'road', 'sidewalk', 'vegetation', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist'
    ])
# a child that changes the validation data must change the test data too: the assignment below is made here, once
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
