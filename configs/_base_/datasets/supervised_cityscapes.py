"""Cityscapes train (2975 labeled images) at full size, 1024 crops."""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=16,  # ours: the paper names no batch size that we know
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
                # the paper lists no scale jitter (docs/behavior/ddep.md#finetuning)
                dict(type='RandomCrop', crop_size=(1024, 1024)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
