"""COCO 2017 with 81 classes: a few of 118 287 images with labels, the rest without.

Labels are made by tools/dataset_converters/coco81.py. Lists: data/coco/splits/1_128/{labeled,unlabeled}.txt, one image
stem per line; the labeled counts of UniMatch are 232, 463, 925, 1849, 3697 for 1/512 to 1/32.
"""
_base_ = './coco81_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=8,  # 8 labeled + 8 unlabeled in total (8 in the paper)
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='COCO81Dataset',
            data_root='data/coco',
            ann_file='splits/1_128/labeled.txt',  # 925 images
            data_prefix=dict(img_path='train2017', seg_map_path='semantic81/train2017'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(513, 513), pad_val=dict(img=0, seg=255)),
                dict(type='RandomCrop', crop_size=(513, 513)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    unlabeled=dict(
        batch_size=8,  # 8 labeled + 8 unlabeled in total (8 in the paper)
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='COCO81Dataset',
            data_root='data/coco',
            ann_file='splits/1_128/unlabeled.txt',  # 117 362 images
            data_prefix=dict(img_path='train2017'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(513, 513), pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop', crop_size=(513, 513)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
