"""A linear probe: one linear layer on the last map (stride 16) of a frozen TinyViT (SAM), for cached features.

Only the map that the head reads is computed and kept (docs/cached_features.md). The config that takes it says
``num_classes``.
"""
_base_ = './tinyvit_small.py'
model = dict(
    network=dict(
        backbone=dict(trainable='none', out_indices=(3, )),
        decode_head=dict(
            _delete_=True,
            type='TokenLinearHead',
            in_channels=320,
            num_classes=19,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))))
