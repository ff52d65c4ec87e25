"""Cityscapes at full size, crops of 1024: 1/8 of the training images with labels (rare classes favored), 7/8 without.

The recipe of the HRDA settings with other streams: both come from Cityscapes, so no resize is needed and crops never
leave the image. Class statistics are those of the labeled list alone.
Lists: data/cityscapes/splits/1_8/{labeled,unlabeled}.txt, written by tools/make_split.py.
"""
_base_ = './cityscapes_full_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=2,  # the paper (docs/behavior/pixl.md#confirmed-parts)
        num_workers=4,
        persistent_workers=True,
        # docs/behavior/daformer_hrda.md#rare-class-sampling
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=3000),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            ann_file='splits/1_8/labeled.txt',  # 372 images
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                # 6000 = 3000 * 2 pixels of the wanted class in a 1024 crop
                # (docs/behavior/daformer_hrda.md#rare-class-sampling)
                dict(type='RareClassCrop', crop_size=(1024, 1024), cat_max_ratio=0.75, min_crop_pixels=6000),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])),
    unlabeled=dict(
        batch_size=2,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            ann_file='splits/1_8/unlabeled.txt',  # 2603 images
            data_prefix=dict(img_path='leftImg8bit/train'),  # no labels are read
            pipeline=[
                dict(type='LoadImageFromFile'),
                # bonnet and rectification border, without labels in the labeled images too
                # (docs/behavior/daformer_hrda.md#pseudo-labels, of 1024x2048)
                dict(
                    type='PseudoLabelMargins', top=30, bottom=240, left=30, right=30,
                    of='CityscapesDataset'),
                dict(type='RandomCrop', crop_size=(1024, 1024)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
