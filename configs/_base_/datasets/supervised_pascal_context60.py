"""Pascal Context train (4998 labelled images, 60 classes, background included), 512 crops.

Labels and lists are made by tools/dataset_converters/pascal_context.py.
"""
_base_ = './pascal_context60_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=16,  # ours: the card of DDeP names no batch size
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='PascalContextDataset',
            data_root='data/VOCdevkit/VOC2010',
            ann_file='ImageSets/SegmentationContext/train.txt',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Pad', size=(512, 512), pad_val=dict(img=0, seg=255)),  # some images are smaller
                dict(type='RandomCrop', crop_size=(512, 512)),  # card of DDeP; no scale jitter is listed
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
