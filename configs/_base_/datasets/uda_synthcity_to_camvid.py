"""Rendered street scenes with labels, real video frames by day without: their label files are never opened."""
_base_ = './camvid_val.py'
train_dataloader = dict(
    source=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        # 3000 of the 1914x1052 pixels of a GTA image (docs/behavior/daformer_hrda.md#rare-class-sampling) are 195 of
        # 512x256
        sampler=dict(type='RareClassSampler', temperature=0.01, min_pixels=200),
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
                # 1500 pixels of a 512 crop (docs/behavior/daformer_hrda.md#rare-class-sampling) are 375 of a 256 crop:
                # 240 pixels of the file
                dict(type='RareClassCrop', crop_size=(256, 256), cat_max_ratio=0.75, min_crop_pixels=375),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),  # as the source-only control has it
                dict(type='PackStreamInputs'),
            ])),
    target=dict(
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='CityscapesDataset',
            data_root='{{$MMSEG_DG_SHARED:../shared}}/data/camvid_day',
            data_prefix=dict(img_path='img/train'),
            img_suffix='.jpg',
            seg_map_suffix='.png',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=(256, 256)),  # of 384x288
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
