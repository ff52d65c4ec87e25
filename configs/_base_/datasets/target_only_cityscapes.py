"""Cityscapes with labels: the oracle of both synthetic-to-real settings."""
_base_ = './cityscapes_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # docs/behavior/daformer_hrda.md#optimizer-and-schedule
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # docs/behavior/daformer_hrda.md#data-pipelines
                dict(type='Resize', scale=(1024, 512), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                # source-only and oracle runs only (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
