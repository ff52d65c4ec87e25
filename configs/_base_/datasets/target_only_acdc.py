"""ACDC with labels (1600 images): the oracle of Cityscapes -> ACDC."""
_base_ = './acdc_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # docs/behavior/daformer_hrda.md#optimizer-and-schedule
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
                # docs/behavior/daformer_hrda.md#data-pipelines
                dict(type='Resize', scale=(960, 540), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                # source-only and oracle runs only (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
