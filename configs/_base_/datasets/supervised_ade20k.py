"""ADE20K training (20 210 labeled images, 150 classes), 512 crops."""
_base_ = './ade20k_val.py'
train_dataloader = dict(
    labeled=dict(
        batch_size=16,  # ours: the paper names no batch size that we know
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='ADE20KDataset',
            data_root='data/ade/ADEChallengeData2016',
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Pad', size=(512, 512), pad_val=dict(img=0, seg=255)),  # some images are smaller
                # the paper lists no scale jitter (docs/behavior/ddep.md#finetuning)
                dict(type='RandomCrop', crop_size=(512, 512)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
