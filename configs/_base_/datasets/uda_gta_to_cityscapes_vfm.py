"""GTA (labeled, rare classes favored) -> Cityscapes train (no labels) as VFM-UDA has it: crops of 1024, batch 8 + 8.

Source: docs/behavior/mic.md#vfm-uda-step. Short sides of 1440 and 1024 pixels times 0.9 to 1.1.
"""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=8,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='RareClassSampler', temperature=0.05, min_pixels=3000),
        dataset=dict(
            type='GTADataset',
            raw_ids=True,  # the published labels; False with LoadAnnotations: converted *_labelTrainIds.png
            data_root='data/gta',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # the short side decides: no image is 10 000 wide
                dict(type='RandomResize', scale=(10000, 1440), ratio_range=(0.9, 1.1), keep_ratio=True),
                # 6000 = 3000 * 2 pixels of the wanted class in a 1024 crop
                dict(type='RareClassCrop', crop_size=(1024, 1024), cat_max_ratio=0.75, min_crop_pixels=6000),
                dict(type='RandomFlip', prob=0.5),
                dict(type='ColorJitter', brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.05, prob=0.9),
                dict(type='PackStreamInputs'),
            ])),
    target=dict(
        batch_size=8,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            data_prefix=dict(img_path='leftImg8bit/train'),  # no labels are read
            pipeline=[
                dict(type='LoadImageFromFile'),
                # 3 % at the top, left and right, 25 % at the bottom of 1024x2048
                dict(type='PseudoLabelMargins', top=30, bottom=256, left=61, right=61, of='CityscapesDataset'),
                dict(type='RandomResize', scale=(10000, 1024), ratio_range=(0.9, 1.1), keep_ratio=True),
                dict(type='Pad', size=(1024, 1024), pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop', crop_size=(1024, 1024)),  # cat_max_ratio would look at target labels
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
