"""GTA (24 966 images, rare classes favored) at half resolution -> unseen Cityscapes, BDD100K, Mapillary.

The source of DAFormer's domain generalization: crops of 512, color distortion, rare class sampling
(docs/behavior/daformer_hrda.md#domain-generalization). Every domain is predicted at the scale Cityscapes has, keeping
its ratio, and scored at the full size of its labels.
"""
_base_ = './cityscapes_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # docs/behavior/daformer_hrda.md#optimizer-and-schedule
        num_workers=4,
        persistent_workers=True,
        # docs/behavior/daformer_hrda.md#domain-generalization
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=3000),
        dataset=dict(
            type='GTADataset',
            raw_ids=True,  # the published labels; False with LoadAnnotations: converted *_labelTrainIds.png
            data_root='data/gta',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # 1914x1052 becomes 1280x704 (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='Resize', scale=(1280, 720), keep_ratio=True),
                # 1500 = 3000 * 0.5 pixels of the wanted class in a 512 crop
                # (docs/behavior/daformer_hrda.md#domain-generalization)
                dict(type='RareClassCrop', crop_size=(512, 512), cat_max_ratio=0.75, min_crop_pixels=1500),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),  # docs/behavior/daformer_hrda.md#domain-generalization
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
                # 1280x720 becomes 910x512 (docs/behavior/daformer_hrda.md#domain-generalization)
                dict(type='Resize', scale=(1024, 512), keep_ratio=True),
                dict(type='LoadAnnotations'),  # after Resize: scores are taken at the full size of the label
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
                # 3264x2448 becomes 683x512 (docs/behavior/daformer_hrda.md#domain-generalization)
                dict(type='Resize', scale=(1024, 512), keep_ratio=True),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ])))
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
tta_pipeline = [  # test.py --tta, not used by the paper: 0.75, 1 and 1.25 times the test scale, each also flipped
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(768, 384), keep_ratio=True),
                dict(type='Resize', scale=(1024, 512), keep_ratio=True),
                dict(type='Resize', scale=(1280, 640), keep_ratio=True),
            ],
            [
                dict(type='RandomFlip', prob=0., direction='horizontal'),
                dict(type='RandomFlip', prob=1., direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ])
]
