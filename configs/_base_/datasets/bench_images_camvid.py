"""Small real benchmark of denoising pretraining: video frames by day without labels, judged on other frames.

``camvid_dusk`` is another drive in another light (unseen); ``camvid_day`` holds other frames of a training sequence.
Frames are 384x288, so a crop of 224 needs no resizing.
"""
train_dataloader = dict(
    images=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='UnlabeledImageDataset',
            like='cityscapes',  # streams and domains must name classes; nothing reads them here
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=(224, 224)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    camvid_day=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='UnlabeledImageDataset',
            like='cityscapes',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/val'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])),
    camvid_dusk=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='UnlabeledImageDataset',
            like='cityscapes',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_dusk',
            data_prefix=dict(img_path='img/train'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])))
val_evaluator = dict(type='DenoisingMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
