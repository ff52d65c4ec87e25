"""IDD, 44 of 702 frames with labels (1/16) and 658 without, whole drives on either side, 7 classes.

Drives are drawn (``python tools/make_split.py folder .../idd_lite --images img/train --masks label7/train --classes 7
--fraction 1/16 --mode sequences --seed 0``; splits_idd holds seeds 0, 1, 2: ``--subset 1_16_seed1``). CutMix pastes
the reversed batch: there is no stream ``unlabeled_mix``.
"""
_base_ = './idd7_val.py'
_val = _base_.val_dataloader.idd.dataset
_names = dict(type='FolderDataset', classes=_val.classes, palette=_val.palette, data_root=_val.data_root)
_view = [
    dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
    dict(type='Pad', size=(192, 192), pad_val=dict(img=0, seg=255)),
    dict(type='RandomCrop', crop_size=(192, 192)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackStreamInputs'),
]
train_dataloader = dict(
    labeled=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            **_names,
            ann_file='{{ fileDirname }}/splits_idd/1_16_seed0/labeled.txt',  # 44 frames
            data_prefix=dict(img_path='img/train', seg_map_path='label7/train'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), *_view])),
    unlabeled=dict(
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            **_names,
            ann_file='{{ fileDirname }}/splits_idd/1_16_seed0/unlabeled.txt',  # 658 frames
            data_prefix=dict(img_path='img/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                *_view,
            ])))
# with labels of the target there is less to choose blindly: no mirrored predictions, which cost as much as the others
val_evaluator = [_base_.val_evaluator[0], dict(type='LabelFreeMetric', prior='labeled', teacher=False, flip=False)]
test_evaluator = val_evaluator
del _val, _names, _view
