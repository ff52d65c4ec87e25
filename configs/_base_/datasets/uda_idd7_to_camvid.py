"""IDD with labels, CamVid by day without: uda_camvid_to_idd7.py the other way round; judged by day and at dusk."""
_base_ = './uda_camvid_to_idd7.py'
_camvid, _idd = _base_.train_dataloader.source.dataset, _base_.train_dataloader.target.dataset
_names = dict(type='FolderDataset', classes=_camvid.classes, palette=_camvid.palette)
_loader = dict(
    batch_size=1, num_workers=1, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
_val = dict(
    **_names,
    label_map=_camvid.label_map,
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])
train_dataloader = dict(
    source=dict(
        dataset=dict(
            _delete_=True,
            **_names,
            data_root=_idd.data_root,
            data_prefix=dict(img_path='img/train', seg_map_path='label7/train'),
            pipeline=_camvid.pipeline)),
    target=dict(dataset=dict(data_root=_camvid.data_root)))
val_dataloader = dict(
    _delete_=True,
    camvid_day=dict(
        **_loader,
        dataset=dict(
            **_val,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/val', seg_map_path='label/val'))),
    camvid_dusk=dict(
        **_loader,
        dataset=dict(
            **_val,
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_dusk',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'))))
val_evaluator = [
    dict(type='DriveMetric', drive=r'(\w+)\d\d\.\w+$'),  # 0016E5_07959.jpg is of the stretch 0016E5_079
    dict(type='LabelFreeMetric', prior='source', teacher=False),
]
test_dataloader = val_dataloader
test_evaluator = val_evaluator
del _camvid, _idd, _names, _loader, _val
