"""Labeled real video frames by day: the upper control (oracle) of the small real benchmark."""
_base_ = './camvid_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomCrop', crop_size=(256, 256), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
