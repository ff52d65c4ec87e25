"""CamVid by day, 39 of 305 frames with labels (1/8), trained and scored on its 11 classes.

The labeled frames are four blocks of neighbors spread over both sequences; two frames on either side of a block are
used by nobody (``python tools/make_split.py folder .../camvid_day --images img/train --masks label/train --classes 19
--fraction 1/8 --mode blocks --seed 0``; splits_camvid holds seeds 0, 1, 2 of 1/8 and 1/30: ``tools/study.py CONFIG
--subsets 1_8_seed1``). ``camvid_day`` validates on other frames of a training sequence, ``camvid_dusk`` is unseen.
"""
classes = ['sky', 'building', 'pole', 'road', 'sidewalk', 'vegetation', 'sign', 'fence', 'car', 'pedestrian',
           'bicyclist']
folder = dict(
    type='FolderDataset',
    classes=classes,
    palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
             [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192]],
    # files hold Cityscapes trainIds: trainid_to_11 of data/classes.json
    label_map={0: 3, 1: 4, 2: 1, 3: 7, 4: 7, 5: 2, 6: 6, 7: 6, 8: 5, 9: 5, 10: 0, 11: 9, 12: 10, 13: 8, 14: 8, 15: 8,
               16: 8, 17: 10, 18: 10})
day, dusk = '{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day', '{{$MMSEG_DG_SHARED:../shared}}/data/camvid_dusk'
train_dataloader = dict(
    labeled=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            **folder,
            data_root=day,
            ann_file='{{ fileDirname }}/splits_camvid/1_8_seed0/labeled.txt',  # 39 frames
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
                dict(type='Pad', size=(256, 256), pad_val=dict(img=0, seg=255)),
                dict(type='RandomCrop', crop_size=(256, 256)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
evaluated = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **folder,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
val_dataloader = dict(
    camvid_day=dict(evaluated, dataset=dict(
        evaluated['dataset'], data_root=day, data_prefix=dict(img_path='img/val', seg_map_path='label/val'))),
    camvid_dusk=dict(evaluated, dataset=dict(
        evaluated['dataset'], data_root=dusk, data_prefix=dict(img_path='img/train', seg_map_path='label/train'))))
val_evaluator = dict(
    type='ClassBiasMetric',
    # pixels of the 305 training frames in percent, in the order of classes: head, middle and tail are the same classes
    # in every run and domain (road building sky vegetation | car sidewalk fence sign | pole pedestrian bicyclist)
    frequency=[17.1, 23.1, 1.04, 35.4, 4.67, 9.81, 1.22, 1.32, 5.47, 0.656, 0.253])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
del classes, folder, day, dusk, evaluated  # not settings of their own
