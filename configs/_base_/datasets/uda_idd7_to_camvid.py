"""IDD with labels, CamVid by day without: the other way round, 7 classes; judged by day and at dusk."""
_base_ = './target_only_idd7.py'
_names = dict(
    type='FolderDataset',
    classes=_base_.val_dataloader.idd.dataset.classes,
    palette=_base_.val_dataloader.idd.dataset.palette)
# files hold Cityscapes trainIds: trainid_to_7 of data/classes.json
_to_7 = {0: 0, 1: 1, 2: 5, 3: 4, 4: 4, 5: 4, 6: 4, 7: 4, 8: 5, 9: 1, 10: 6, 11: 2, 12: 2, 13: 3, 14: 3, 15: 3,
         16: 3, 17: 3, 18: 3}
_loader = dict(
    batch_size=1, num_workers=1, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
_val = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(
    target=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            **_names,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=(192, 192)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
val_dataloader = dict(
    _delete_=True,
    camvid_day=dict(
        **_loader,
        dataset=dict(
            **_names,
            label_map=_to_7,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'),
            pipeline=_val)),
    camvid_dusk=dict(
        **_loader,
        dataset=dict(
            **_names,
            label_map=_to_7,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_dusk',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            pipeline=_val)))
val_evaluator = [
    dict(type='DriveMetric', drive=r'(\w+)\d\d\.\w+$'),  # 0016E5_07959.jpg is of the stretch 0016E5_079
    dict(type='LabelFreeMetric', prior='source', teacher=False),
]
test_dataloader = val_dataloader
test_evaluator = val_evaluator
del _names, _to_7, _loader, _val
