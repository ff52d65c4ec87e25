"""Cityscapes train (2975 labelled images) at full size, 1024 crops."""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=16,  # ours: the card of DDeP names no batch size
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
                dict(type='RandomCrop', crop_size=(1024, 1024)),  # card of DDeP; no scale jitter is listed
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
