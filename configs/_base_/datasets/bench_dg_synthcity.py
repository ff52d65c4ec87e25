"""Rendered street scenes by day with labels -> unseen: real video by day and dusk, the city by night, fog and rain.

The augmentation of DeFT's paper at a third of its crop. Every domain is scored on the 11 classes CamVid tells apart,
so that the mean over domains means something; the rendered ones also on all 19 (``c19/mIoU``). The source's own
validation (``synthcity``) is listed last; ``protocols/dg_synthcity.py`` keeps it out of the mean.
"""
train_dataloader = dict(
    source=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/synthcity',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), interpolation='bicubic'),  # of 512x256
                dict(type='CentroidCrop', crop_size=(256, 256)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.5),
                dict(type='RandomGaussianBlur', sigma=(0.15, 1.3)),
                dict(type='PackStreamInputs'),
            ])))
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
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
    synthcity_night=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/synthcity_night',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
    synthcity_fog=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/synthcity_fog',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
    synthcity_rain=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/synthcity_rain',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
    synthcity=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/synthcity',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])))
__eleven = dict(
    type='ConfusionMatrixMetric',
    label_map=[3, 4, 1, 7, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10],  # trainid_to_11 of data/classes.json
    scored_classes=[
        'sky', 'building', 'pole', 'road', 'sidewalk', 'vegetation', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist'
    ])
__both = [__eleven, dict(type='ConfusionMatrixMetric', prefix='c19')]
val_evaluator = dict(
    camvid_day=__eleven,
    camvid_dusk=__eleven,
    synthcity_night=__both,
    synthcity_fog=__both,
    synthcity_rain=__both,
    synthcity=__both)
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
