"""Pascal VOC 2012, blender: labeled images from all 10 582 of train_aug, most of them with SBD's coarse labels.

Labels: SegmentationClassAug of tools/dataset_converters/voc_aug.py. There are two families of lists with equal counts:
plain (mixed quality) and u2pl_* (finely labeled images first); their scores cannot be compared.
Lists: data/VOCdevkit/VOC2012/splits/blender_1_8/{labeled,unlabeled}.txt, one image stem per line.
"""
_base_ = './voc_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=8,  # 8 labeled + 8 unlabeled in total (8 in the paper)
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='PascalVOCDataset',
            data_root='data/VOCdevkit/VOC2012',
            ann_file='splits/blender_1_8/labeled.txt',  # 1323 images
            data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
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
            type='PascalVOCDataset',
            data_root='data/VOCdevkit/VOC2012',
            ann_file='splits/blender_1_8/unlabeled.txt',  # 9259 images
            data_prefix=dict(img_path='JPEGImages'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                dict(type='RandomRescale', ratio_range=(0.5, 2.0), backend='pillow'),
                dict(type='Pad', size=(513, 513), pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop', crop_size=(513, 513)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
