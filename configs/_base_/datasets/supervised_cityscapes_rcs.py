"""Cityscapes train (2975 labeled images) at full size, 1024 crops, rare classes favored: PiXL's full supervision."""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,  # the paper (docs/behavior/pixl.md#confirmed-parts)
        num_workers=4,
        persistent_workers=True,
        # docs/behavior/daformer_hrda.md#rare-class-sampling
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=3000),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # 6000 = 3000 * 2 pixels of the wanted class in a 1024 crop
                # (docs/behavior/daformer_hrda.md#rare-class-sampling)
                dict(type='RareClassCrop', crop_size=(1024, 1024), cat_max_ratio=0.75, min_crop_pixels=6000),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
