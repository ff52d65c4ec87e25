"""CamVid by day, 39 of 305 frames with labels (1/8) and 250 without; the 16 frames next to labeled blocks are unused.

A method with CutMix also reads ``unlabeled_mix``: ``train_dataloader = dict(unlabeled_mix=_base_.train_dataloader.
unlabeled)``. Classes, lists and validation: bench_labeled_camvid.py.
"""
_base_ = './bench_labeled_camvid.py'
train_dataloader = dict(
    unlabeled=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='FolderDataset',
            classes=_base_.train_dataloader.labeled.dataset.classes,
            palette=_base_.train_dataloader.labeled.dataset.palette,
            data_root=_base_.train_dataloader.labeled.dataset.data_root,
            ann_file='{{ fileDirname }}/splits_camvid/1_8_seed0/unlabeled.txt',  # 250 frames
            data_prefix=dict(img_path='img/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='PseudoLabelMargins'),  # marks what is not padding
                dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
                dict(type='Pad', size=(256, 256), pad_val=dict(img=0, seg=0)),
                dict(type='RandomCrop', crop_size=(256, 256)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
