"""GTA train of the official split (12 403 images) -> unseen Cityscapes, BDD100K, Mapillary, SYNTHIA, as DeFT has it.

Training: the augmentation of DeFT's paper. Evaluation: whole images at their own size; Mapillary at height 1536, cut
or filled to 1536x1536 around the center, scored in that frame; SYNTHIA on 2820 images of a random split. The source's
own validation, GTA val, is listed last; ``protocols/dg_gta.py`` keeps it out of the mean.
"""
train_dataloader = dict(
    source=dict(
        batch_size=4,  # the paper (docs/behavior/deft.md#optimization)
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='GTADataset',
            data_root='data/gta',
            split='train',
            ann_file='split.mat',  # published with the dataset
            exclude='splits/unusable.txt',  # from tools/dataset_converters/gta.py: labels of a wrong size
            raw_ids=True,  # the published labels
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(  # docs/deft.md, "Resizing"
                    type='RandomRescale', ratio_range=(0.5, 2.0), interpolation='bicubic', backend='pillow'),
                # the paper; fills what is smaller with 0 and 255 (docs/behavior/deft.md#data-pipeline)
                dict(type='CentroidCrop', crop_size=(768, 768)),
                dict(type='RandomFlip', prob=0.5),  # paper
                # the paper names jitter and blur, the amounts are the released code's
                # (docs/behavior/deft.md#data-pipeline)
                dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.5),
                dict(type='RandomGaussianBlur', sigma=(0.15, 1.3)),  # always (docs/behavior/deft.md#data-pipeline)
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
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
            ])),
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
                dict(type='LoadAnnotations'),  # before the frame: predictions and labels are compared inside it
                dict(type='ResizeToHeight', height=1536, interpolation='bicubic', backend='pillow'),  # up to 20 MP
                # docs/behavior/deft.md#test-protocol; 255 is ours
                dict(type='CenterCropPad', size=(1536, 1536), pad_val=dict(img=0, seg=255)),
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
            ann_file='splits/random/val.txt',  # 2820 images: tools/dataset_converters/synthia.py --lists-only
            data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadSynthiaAnnotations'),
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
            ])))
__metric = dict(type='ConfusionMatrixMetric')
val_evaluator = dict(
    cityscapes=__metric,
    bdd100k=__metric,
    mapillary=__metric,
    # SYNTHIA has no terrain, truck and train: over 19 classes they count 0 where they are predicted
    # (docs/behavior/daformer_hrda.md#evaluation)
    synthia=[__metric, dict(type='ConfusionMatrixMetric', classes_subset='synthia16', prefix='synthia16')],
    gta=__metric)
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
