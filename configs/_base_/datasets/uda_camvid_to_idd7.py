"""CamVid by day with labels, IDD without: two continents, 7 classes; crops of 192 of 384x288 and 320x227 frames."""
_base_ = './idd7_val.py'
_val = _base_.val_dataloader.idd.dataset
_names = dict(type='FolderDataset', classes=_val.classes, palette=_val.palette)
train_dataloader = dict(
    source=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            **_names,
            # files hold Cityscapes trainIds: trainid_to_7 of data/classes.json
            label_map={0: 0, 1: 1, 2: 5, 3: 4, 4: 4, 5: 4, 6: 4, 7: 4, 8: 5, 9: 1, 10: 6, 11: 2, 12: 2, 13: 3, 14: 3,
                       15: 3, 16: 3, 17: 3, 18: 3},
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomCrop', crop_size=(192, 192), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])),
    target=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            **_names,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/idd_lite',
            data_prefix=dict(img_path='img/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=(192, 192)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
del _val, _names
