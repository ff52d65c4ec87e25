"""GTA (24 966 rendered images, labeled, rare classes favored) -> Cityscapes train (2975 photographs, no labels)."""
_base_ = './cityscapes_val.py'
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
                # 1914x1052 becomes 1280x704 (docs/behavior/daformer_hrda.md#data-pipelines)
                dict(type='Resize', scale=(1280, 720), keep_ratio=True),
                # 1500 = 3000 * 0.5 pixels of the wanted class in a 512 crop
                # (docs/behavior/daformer_hrda.md#rare-class-sampling)
                dict(type='RareClassCrop', crop_size=(512, 512), cat_max_ratio=0.75, min_crop_pixels=1500),
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
                # docs/behavior/daformer_hrda.md#data-pipelines
                dict(type='Resize', scale=(1024, 512), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(512, 512)),  # cat_max_ratio would look at target labels
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
