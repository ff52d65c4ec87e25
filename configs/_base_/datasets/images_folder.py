"""Any folder of images for denoising pretraining, and another one on which it is judged: data/images/{train,val}."""
train_dataloader = dict(
    images=dict(
        batch_size=512,  # the paper (docs/behavior/ddep.md#pretraining)
        num_workers=16,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='UnlabeledImageDataset',
            like='cityscapes',  # streams must name classes; nothing reads them here
            data_root='data/images',
            data_prefix=dict(img_path='train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(100000, 256), keep_ratio=True, backend='pillow'),  # the shorter side
                # the paper: 224x224 (docs/behavior/ddep.md#pretraining)
                dict(type='RandomCrop', crop_size=(224, 224)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    held_out=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='UnlabeledImageDataset',
            like='cityscapes',
            data_root='data/images',
            data_prefix=dict(img_path='val'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(100000, 256), keep_ratio=True, backend='pillow'),  # the shorter side
                dict(type='CenterCrop', crop_size=(224, 224)),
                dict(type='PackSegInputs'),
            ])))
val_evaluator = dict(type='DenoisingMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
