"""ImageNet-1k train (1 281 167 images in folders, or named by meta/train.txt) as images without labels.

A config that uses it needs custom_imports = dict(imports=['mmseg_dg', 'mmseg_dg.mmpretrain']).
"""
_base_ = './images_imagenet_val.py'
train_dataloader = dict(
    images=dict(
        batch_size=512,  # the paper (docs/behavior/ddep.md#pretraining)
        num_workers=16,
        persistent_workers=True,
        sampler=dict(type='StatefulInfiniteSampler', shuffle=True),
        dataset=dict(
            type='mmpretrain.ImageNet',
            data_root='data/imagenet',
            split='train',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(100000, 256), keep_ratio=True, backend='pillow'),  # the shorter side
                # the paper: 224x224 (docs/behavior/ddep.md#pretraining)
                dict(type='RandomCrop', crop_size=(224, 224)),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackStreamInputs'),
            ])))
