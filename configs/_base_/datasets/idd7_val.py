"""Validation on real driving video of another continent: IDD, 109 frames of 31 drives, 7 classes (IDD's level 1).

Each drive's counts are kept beside the evaluation, for intervals over drives, and label-free scores of the student
stand beside the true ones: the mirrored prediction doubles an evaluation's forward passes, the teacher's is left out.
"""
val_dataloader = dict(
    idd=dict(
        batch_size=1,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='FolderDataset',
            classes=['drivable', 'non-drivable', 'living things', 'vehicles', 'roadside objects', 'far objects',
                     'sky'],
            palette=[[128, 64, 128], [244, 35, 232], [220, 20, 60], [0, 0, 142], [220, 190, 40], [70, 70, 70],
                     [70, 130, 180]],
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/idd_lite',
            data_prefix=dict(img_path='img/val', seg_map_path='label7/val'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])))
val_evaluator = [
    dict(type='DriveMetric', drive=r'(\d+)_(?:frame)?\d+\.\w+$'),  # 205_frame5153.jpg is of drive 205
    dict(type='LabelFreeMetric', prior='source', teacher=False),
]
# bound here, once: a child that replaces the validation data must replace the test data as well
test_dataloader = val_dataloader
test_evaluator = val_evaluator
