"""1000 images of ImageNet-1k val (in folders or not), never trained on, on which denoising is judged."""
val_dataloader = dict(
    imagenet_val=dict(
        batch_size=1,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='UnlabeledImageDataset',
            like='cityscapes',  # domains must name classes; nothing reads them here
            data_root='data/imagenet',
            data_prefix=dict(img_path='val'),
            indices=1000,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(100000, 256), keep_ratio=True, backend='pillow'),  # the shorter side
                dict(type='CenterCrop', crop_size=(224, 224)),
                dict(type='PackSegInputs'),
            ])))
val_evaluator = dict(type='DenoisingMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
