"""Pascal Context train (4998 labeled images, 59 classes, without background), 512 crops.

Labels and lists are made by tools/dataset_converters/pascal_context.py.
"""
_base_ = './pascal_context59_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=16,  # ours: the paper names no batch size that we know
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='PascalContextDataset59',
            data_root='data/VOCdevkit/VOC2010',
            ann_file='ImageSets/SegmentationContext/train.txt',
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Pad', size=(512, 512), pad_val=dict(img=0, seg=255)),  # some images are smaller
                # the paper lists no scale jitter (docs/behavior/ddep.md#finetuning)
                dict(type='RandomCrop', crop_size=(512, 512)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
