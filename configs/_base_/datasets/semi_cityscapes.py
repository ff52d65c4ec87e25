"""Cityscapes: 1/8 of the 2975 training images with labels (372), the other 2603 without.

Lists: data/cityscapes/splits/1_8/{labeled,unlabeled}.txt; a stem is the path below leftImg8bit/train without
_leftImg8bit.png (aachen/aachen_000000_000019).
"""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=8,  # 8 labeled + 8 unlabeled in total (8 in the paper)
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            ann_file='splits/1_8/labeled.txt',  # 372 images
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(801, 801), pad_val=dict(img=0, seg=255)),
                dict(type='RandomCrop', crop_size=(801, 801)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    unlabeled=dict(
        batch_size=8,  # 8 labeled + 8 unlabeled in total (8 in the paper)
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            ann_file='splits/1_8/unlabeled.txt',  # 2603 images
            data_prefix=dict(img_path='leftImg8bit/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(801, 801), pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop', crop_size=(801, 801)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
