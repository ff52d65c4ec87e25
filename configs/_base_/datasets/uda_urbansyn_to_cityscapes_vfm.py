"""UrbanSyn (about 7500 rendered images, labeled, rare classes favored) -> Cityscapes train, as VFM-UDA has sources.

Source: docs/behavior/mic.md#vfm-uda-step: rendered sources but GTA have short sides of 1024 pixels times 0.9 to 1.1.
"""
_base_ = './uda_gta_to_cityscapes_vfm.py'
train_dataloader = dict(
    source=dict(
        dataset=dict(
            _delete_=True,
            type='UrbanSynDataset',
            data_root='data/urbansyn',
            data_prefix=dict(img_path='rgb', seg_map_path='ss'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomResize', scale=(10000, 1024), ratio_range=(0.9, 1.1), keep_ratio=True),
                dict(type='Pad', size=(1024, 1024), pad_val=dict(img=0, seg=255)),
                dict(type='RareClassCrop', crop_size=(1024, 1024), cat_max_ratio=0.75, min_crop_pixels=6000),
                dict(type='RandomFlip', prob=0.5),
                dict(type='ColorJitter', brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.05, prob=0.9),
                dict(type='PackStreamInputs'),
            ])))
