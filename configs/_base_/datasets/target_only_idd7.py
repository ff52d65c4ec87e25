"""Labeled frames of IDD, 7 classes: the upper control (oracle) of CamVid -> IDD."""
_base_ = './idd7_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='FolderDataset',
            classes=_base_.val_dataloader.idd.dataset.classes,
            palette=_base_.val_dataloader.idd.dataset.palette,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/idd_lite',
            data_prefix=dict(img_path='img/train', seg_map_path='label7/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomCrop', crop_size=(192, 192), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
