"""SYNTHIA with labels, nothing of the target; Cityscapes validates on the 16 classes SYNTHIA has."""
_base_ = './cityscapes_val16.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # docs/behavior/daformer_hrda.md#optimizer-and-schedule
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='SynthiaDataset',
            raw_ids=True,  # the published labels; False with LoadAnnotations: converted *_labelTrainIds.png
            data_root='data/synthia',
            data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadSynthiaAnnotations'),
                # docs/behavior/daformer_hrda.md#data-pipelines
                dict(type='Resize', scale=(1280, 760), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                # source-only and oracle runs only (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
