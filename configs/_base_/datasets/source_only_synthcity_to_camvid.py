"""Rendered street scenes with labels only; color distortion, as the paper's source-only runs have
(docs/behavior/daformer_hrda.md#data-pipelines)."""
_base_ = './camvid_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/synthcity',
            data_prefix=dict(img_path='img/train', seg_map_path='label/train'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Resize', scale=(640, 320), keep_ratio=True),  # 512x256, so that a 256 crop can move
                dict(type='RandomCrop', crop_size=(256, 256), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                dict(type='PackStreamInputs'),
            ])))
