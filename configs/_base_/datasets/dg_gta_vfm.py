"""GTA (24 966 images) -> unseen Cityscapes, BDD100K, Mapillary as domain generalization with DINOv2 has it: crops
of 512.

Source: docs/behavior/mic.md#domain-generalization. Short side 512 times 0.5 to 2, at most 2048 long.
"""
_base_ = './cityscapes_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=4,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='GTADataset',
            raw_ids=True,  # the published labels; False with LoadAnnotations: converted *_labelTrainIds.png
            data_root='data/gta',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(
                    type='RandomChoiceResize',
                    scales=[int(512 * n * 0.1) for n in range(5, 21)],
                    resize_type='ResizeShortestEdge',
                    max_size=2048),
                dict(type='Pad', size=(512, 512), pad_val=dict(img=0, seg=255)),
                dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    bdd100k=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='BDD100KDataset',
            data_root='data/bdd100k',
            data_prefix=dict(img_path='images/10k/val', seg_map_path='labels/sem_seg/masks/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ])),
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
                dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
                dict(type='LoadAnnotations'),  # after Resize: scores are taken at the full size of the label
                dict(type='PackSegInputs'),
            ])))
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
