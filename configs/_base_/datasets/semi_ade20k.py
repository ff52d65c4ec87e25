"""ADE20K, 150 classes: 1/16 of the 20 210 training images with labels, the rest without; crops of 518.

Lists: data/ade/ADEChallengeData2016/splits/1_16/{labeled,unlabeled}.txt, one image stem per line
(docs/behavior/unimatch_v2.md#lists).
"""
_base_ = './ade20k_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=8,  # docs/behavior/unimatch_v2.md#data
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='ADE20KDataset',
            data_root='data/ade/ADEChallengeData2016',
            ann_file='splits/1_16/labeled.txt',  # 1263 images
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(518, 518), pad_val=dict(img=0, seg=255)),
                dict(type='RandomCrop', crop_size=(518, 518)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    unlabeled=dict(
        batch_size=8,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='ADE20KDataset',
            data_root='data/ade/ADEChallengeData2016',
            ann_file='splits/1_16/unlabeled.txt',  # 18 947 images
            data_prefix=dict(img_path='images/training'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(518, 518), pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop', crop_size=(518, 518)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
