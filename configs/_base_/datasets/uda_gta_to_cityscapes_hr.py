"""GTA (labeled, rare classes favored) -> Cityscapes train (no labels) at full resolution, crops of 1024."""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # docs/behavior/daformer_hrda.md#optimizer-and-schedule
        num_workers=4,
        persistent_workers=True,
        # docs/behavior/daformer_hrda.md#rare-class-sampling
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=3000),
        dataset=dict(
            type='GTADataset',
            raw_ids=True,  # the published labels; False with LoadAnnotations: converted *_labelTrainIds.png
            data_root='data/gta',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # 1914x1052 becomes 2560x1407 (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='Resize', scale=(2560, 1440), keep_ratio=True),
                # 6000 = 3000 * 2 pixels of the wanted class in a 1024 crop
                # (docs/behavior/daformer_hrda.md#rare-class-sampling)
                dict(type='RareClassCrop', crop_size=(1024, 1024), cat_max_ratio=0.75, min_crop_pixels=6000),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    target=dict(
        batch_size=2,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            data_prefix=dict(img_path='leftImg8bit/train'),  # no labels are read
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(
                    # of 1024x2048 (docs/behavior/daformer_hrda.md#pseudo-labels)
                    type='PseudoLabelMargins', top=30, bottom=240, left=30, right=30,
                    of='CityscapesDataset'),
                # docs/behavior/daformer_hrda.md#data-pipelines
                dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(1024, 1024)),  # cat_max_ratio would look at target labels
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
