"""Cityscapes train (2975 images; a "2985" quoted for DeFT is a slip) -> unseen BDD100K, Mapillary, GTA, SYNTHIA.

Geometry only (scale, crop, flip, as the card of DeFT lists them); colour jitter and blur belong to the config of the
method.
The source's own validation, Cityscapes val, is listed last.
"""
train_dataloader = dict(
    source=dict(
        batch_size=4,  # card of DeFT
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
                dict(type='RandomRescale', ratio_range=(0.5, 2.0)),  # card of DeFT; of the image's own size
                dict(type='Pad', size=(768, 768), pad_val=dict(img=0, seg=255)),  # only what is smaller than the crop
                dict(type='RandomCrop', crop_size=(768, 768)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    bdd100k=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='BDD100KDataset',
            data_root='data/bdd100k',
            data_prefix=dict(img_path='images/10k/val', seg_map_path='labels/sem_seg/masks/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ])),
    mapillary=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='MapillaryTrainIdDataset',
            raw_ids=True,  # the published 66 ids; False: converted *_labelTrainIds.png
            data_root='data/mapillary',
            data_prefix=dict(img_path='validation/images', seg_map_path='validation/labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(2048, 1024), keep_ratio=True),  # spec 10: up to 20 megapixels otherwise
                dict(type='LoadAnnotations'),  # after Resize: scores are taken at the full size of the label
                dict(type='PackSegInputs'),
            ])),
    gta=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='GTADataset',
            data_root='data/gta',
            split='val',
            ann_file='split.mat',  # published with the dataset
            exclude='splits/unusable.txt',  # from tools/dataset_converters/gta.py: labels of a wrong size
            raw_ids=True,  # the published labels
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ])),
    synthia=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='SynthiaDataset',
            raw_ids=True,  # the published 16-bit labels
            data_root='data/synthia',
            data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadSynthiaAnnotations'),
                dict(type='PackSegInputs'),
            ])),
    cityscapes=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CityscapesDataset',
            data_root='data/cityscapes',
            data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='PackSegInputs'),
            ])))
val_evaluator = dict(type='ConfusionMatrixMetric')
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
