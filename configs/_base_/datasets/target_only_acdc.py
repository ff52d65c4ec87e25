"""ACDC with labels (1600 images): the oracle of Cityscapes -> ACDC."""
_base_ = './acdc_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # spec 8
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='ACDCDataset',
            data_root='data/acdc',
            data_prefix=dict(img_path='rgb_anon/train', seg_map_path='gt/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Resize', scale=(960, 540), keep_ratio=True),  # spec 7.2
                dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),  # spec 7.2: source-only and oracle runs only
                dict(type='PackStreamInputs'),
            ])))
